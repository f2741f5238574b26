"""A tiny grid, plugins that misbehave, and a fuzzer that runs short in every test and long in the full suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvae_bench.bench.run.cells import Cell, Place, plan
from dvae_bench.bench.run.presets import Preset
from dvae_bench.bench.sources import CLOCK, DRAWS, SOURCES, STEPS
from dvae_bench.bench.sources.settings import ClockSettings, DrawSettings, TrainSettings
from dvae_bench.bench.store.store import Store
from dvae_bench.commands.plugins import KINDS
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

TINY = Preset(
    "tiny",
    {
        DRAWS: DrawSettings(blocks=8, rows=8, tuning_steps=2, tuning_rows=4),
        STEPS: TrainSettings(
            steps=4, seconds=1e6, evaluations=1, images=10, iw_images=5, iw_samples=2, variance_draws=4
        ),
        CLOCK: ClockSettings(warmup=1, repetitions=6, seconds=0.0, rows=10),
    },
)
FUZZED = pytest.mark.parametrize("examples", [500, pytest.param(100_000, marks=pytest.mark.full)])

PLUGIN = '''
"""A plugin of the tests: REINFORCE, but for what it does before it answers."""

import gc, os, random, signal, sys, warnings

import numpy as np
import torch
from dvae_bench.estimators.contract import Claim, Estimate, Estimator, expand_right


class Mine(Estimator):
    """f(z) ∇ log q(z)."""

    name = "{name}"
    latents = ("bernoulli",)

    def claim(self):
        return Claim()

    def sample(self, latent, generator):
        return latent.sample(1, generator)

    def gradient(self, f, latent, draw):
        {code}
        value, score = f(draw), latent.score(draw)
        return {answer}
'''
ANSWER = "Estimate(value.mean(0), (expand_right(value.detach(), score) * score).mean(0))"


def fuzz(examples: int, strategy: SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check so many examples; no time limit, nothing remembered."""
    settings(max_examples=examples, deadline=None, database=None)(given(strategy)(check))()


def grid(*estimators: str, tasks: str = "bit:d=2", source: str = "draws", **changes: Any) -> list[Cell]:
    place = Place(device_name="a cpu", data=changes.pop("data", ""))
    sources = [SOURCES[source]] if source else list(SOURCES.values())
    how = {"preset": TINY, "sources": sources} | changes
    return plan(ESTIMATORS.select(estimators), TASKS.select([tasks]), place=place, **how)


def numbers(store: Store) -> pd.DataFrame:
    """Every stored number that is no time, in an order of its own."""
    rows = store.rows()
    rows = rows[(rows["source"] != "clock") & (rows["metric"] != "seconds")]
    return rows.sort_values(["task", "estimator", "seed", "collector", "metric", "group", "step"]).reset_index(
        drop=True
    )


@pytest.fixture(autouse=True)
def _registries_restored() -> Iterator[None]:
    before = {kind: dict(registry.extra) for kind, registry in KINDS.items()}
    yield
    for kind, registry in KINDS.items():
        registry.extra = before[kind]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """Write and register an estimator that runs `code` before its `answer`."""

    def write(name: str, code: str = "pass", answer: str = ANSWER) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(PLUGIN.format(name=name, code=code, answer=answer))
        ESTIMATORS.add_file(path)
        return path

    return write
