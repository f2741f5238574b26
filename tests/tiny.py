"""The least that is still measured in earnest: a preset, the cells of a small grid, how they end, and their numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from dvae_bench.bench.run.cell import Cell, Place
from dvae_bench.bench.run.plan import plan
from dvae_bench.bench.run.presets import Preset
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.sources import CLOCK, DRAWS, SOURCES, STEPS
from dvae_bench.bench.sources.settings import ClockSettings, DrawSettings, TrainSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.tasks.vae.mnist_task import MnistTask
from torch import Tensor

TRAINING = TrainSettings(
    steps=6, seconds=1e6, evaluations=3, images=20, iw_images=8, iw_samples=4, variance_draws=4, basket_tuning=2
)
TINY = Preset(
    "tiny",
    {
        DRAWS: DrawSettings(blocks=24, rows=20, tuning_steps=2, tuning_rows=4),
        STEPS: replace(TRAINING, steps=4, evaluations=1),
        CLOCK: ClockSettings(warmup=1, repetitions=6, rounds=3, seconds=0.0, rows=10),
    },
)
VAE = "mnist-vae:arch=linear,batch=8"


def grid(
    *estimators: str,
    tasks: str | Sequence[str] = "bit:d=2",
    sources: str = " ".join(SOURCES),
    preset: Preset = TINY,
    seeds: int = 1,
    **place: Any,
) -> list[Cell]:
    """The cells of these estimators on these tasks, from these sources; VAEs train on the embedded digits."""
    on = TASKS.select([tasks] if isinstance(tasks, str) else tasks)
    where = Place(**{"device_name": "a cpu", "data": "mnist-5k"} | place)
    return plan(ESTIMATORS.select(estimators), on, preset, where, seeds, [SOURCES[name] for name in sources.split()])


def one_cell(estimator: str = "rloo", source: str = "draws", **how: Any) -> Cell:
    """The only cell of such a grid."""
    (cell,) = grid(estimator, sources=source, **how)
    return cell


def some_batches(task: MnistTask, count: int) -> list[Tensor]:
    """The first batches of training."""
    return list(itertools.islice(task.batches(stream(0, "data")), count))


class Diary(Progress):
    """Notes how each cell ended: cell -> (status, reason)."""

    def __init__(self) -> None:
        self.ended: dict[Cell, tuple[str, str]] = {}
        super().__init__(end=self._note)

    def _note(self, cell: Cell, status: str, reason: str, seconds: float) -> None:
        assert seconds >= 0
        self.ended[cell] = status, reason

    def of(self, family: str) -> tuple[str, str]:
        """How the only cell of an estimator ended."""
        (found,) = (ending for cell, ending in self.ended.items() if cell.estimator.family == family)
        return found


def numbers(store: Store) -> pd.DataFrame:
    """Every stored number that is no time, in an order that does not depend on the run."""
    rows = store.rows()
    rows = rows[(rows["source"] != "clock") & (rows["metric"] != "seconds")]
    order = ["task", "estimator", "seed", "source", "collector", "metric", "group", "step"]
    return rows.sort_values(order).reset_index(drop=True)
