"""The latent that the page states for a task is the task's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dvae_bench.bench.latents import latent_of
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import TASKS
from dvae_bench.tasks.vae.architectures import ARCHITECTURES
from dvae_bench.tasks.vae.mnist_vae import MnistVae

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
    expected = replace(spec, family="") if spec.kind == "encodings" else spec
    assert latent_of(task) == str(expected)


def test_the_choices_of_arch_are_the_architectures() -> None:
    """Facts are literals, which are read without torch, so that their names stand twice."""
    assert set(MnistVae.hyperparameters["arch"]["choices"]) == set(ARCHITECTURES)


@pytest.mark.parametrize("task", ["", "mine", "<script>", "bit-table:d", "mnist-vae:arch=none"])
def test_an_unknown_task_has_no_latent(task: str) -> None:
    assert latent_of(task) == ""
