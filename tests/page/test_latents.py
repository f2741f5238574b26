"""The latent that the page states for a task is the task's own."""

from __future__ import annotations

import pytest
from dvae_bench.bench.page.latents import latent_of
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import TASKS

OTHERS = (
    "bit:d=7",
    "bell",
    "mnist-vae:arch={hooper,reinmax,nonlinear-lrelu},n=5",
    "mnist-vae:arch=categorical,n=16,k=12",
)
CHOSEN = [str(name) for name in TASKS.select([*PRESETS["standard"].tasks, *OTHERS])]


@pytest.mark.parametrize("task", CHOSEN)
def test_the_latent_is_the_tasks_own(task: str) -> None:
    name = Name.parse(task)
    spec = TASKS.find(name.family).load()(**name.values).layers[0]
    family = "encodings" if spec.kind == "encodings" else spec.family or spec.kind
    assert latent_of(task) == f"{family} {'x'.join(map(str, spec.event_shape))}"


def test_every_arch_has_its_latent() -> None:
    for plugin in TASKS.builtin.values():
        layer = plugin.facts["layer"]
        if isinstance(layer, dict):
            assert set(layer) == set(plugin.facts["hyperparameters"]["arch"]["choices"])


@pytest.mark.parametrize("task", ["", "mine", "<script>", "bit-table:d", "mnist-vae:arch=none"])
def test_an_unknown_task_has_no_latent(task: str) -> None:
    assert latent_of(task) == ""
