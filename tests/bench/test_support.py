"""What the facts say about support is what building the estimator says."""

from __future__ import annotations

import itertools

import pytest
import torch
from dvae_bench.bench.run.cell import Place
from dvae_bench.bench.run.plan import inapplicable, plan, sources_of
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.support import KINDS, kind_of, refusal
from dvae_bench.bench.sources.build import Layers
from dvae_bench.estimators import latents
from dvae_bench.estimators.names import Name, Unsupported
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from tiny import TINY

TOYS = ("bit-table", "category-table", "moments", "vq-table", "sequence")


def test_the_kinds_are_those_of_latents() -> None:
    assert set(KINDS) == set(latents.KINDS)


@pytest.mark.parametrize("task", TOYS)
def test_a_refusal_is_that_of_the_estimator(task: str) -> None:
    toy = TASKS.find(task).load()()
    assert kind_of(Name(task)) == toy.layers[0].kind
    for plugin in ESTIMATORS:
        if reason := refusal(Name(plugin.name), Name(task)):
            with pytest.raises(Unsupported) as raised:
                Layers(plugin.load(), {}, toy, torch.device("cpu"))
            assert str(raised.value) == reason


def test_the_plan_holds_what_applies_and_counts_the_rest() -> None:
    estimators = [Name("rloo"), Name("disarm"), Name("pathwise")]
    tasks = TASKS.select(["bit", "category-table", "moments", "mnist-vae:arch=gaussian"])
    cells = plan(estimators, tasks, TINY, Place())
    kept = {(cell.estimator, cell.task) for cell in cells}
    assert kept == {(e, t) for e, t in itertools.product(estimators, tasks) if not refusal(e, t)}
    assert len(kept) == 7
    every = sum(len(sources_of(task)) for task in tasks) * len(estimators)
    assert len(cells) + inapplicable(estimators, tasks) == every


def test_a_task_whose_latent_is_unknown_is_not_refused() -> None:
    assert refusal(Name("disarm"), Name("of-a-plugin")) == ""


def test_new_tasks_join_standard_and_quick_keeps_its_own() -> None:
    quick, standard = (set(TASKS.select(PRESETS[name].tasks)) for name in ("quick", "standard"))
    assert quick < standard
