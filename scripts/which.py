"""The numbers of docs/which-estimator.md: `python scripts/which.py` writes results/reference/which/.

toys.csv: gradient draws on small toys whose f is not quadratic between its points, because for a quadratic some biased
estimators are exact. basket.csv: every estimator at the same parameters of real VAEs. The training tables have the
variance of each estimator at the end of its own training, which compares models as much as estimators; here one
estimator trains, and all are measured at the end of that training.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dvae_bench.bench.advice.candidates import SIZES
from dvae_bench.bench.report.tables.toys import toy_table
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import DRAWS, STEPS
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.bench.sources.timing.timing import timed_steps
from dvae_bench.bench.sources.training.basket import BLOCKS, Basket, block_means
from dvae_bench.bench.sources.training.logits_gradients import encoder_draws, reference_draws
from dvae_bench.bench.sources.training.trajectory import Trajectory
from dvae_bench.bench.statistics import intervals as st
from dvae_bench.estimators import estimator
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.tasks.vae.mnist_task import MnistTask
from torch import Tensor

OUT = Path(__file__).resolve().parent.parent / "results" / "reference" / "which"
TOYS = ("bit-table:extension=cubic", "category-table:extension=cubic", "moments")
TRAINED_BY = {"mnist-vae": "rloo:n=4", "mnist-vae:arch=categorical": "rloo:n=4", "mnist-vae:arch=gaussian": "pathwise"}
TRAINED_STEPS, TOGETHER, REFERENCE = 2000, 16, 1024
Row = dict[str, Any]


def at_the_end(task: MnistTask, trainer: str, names: tuple[str, ...]) -> Iterator[Row]:
    """The rows at the end of a training; none for unsupported estimators."""
    settings = replace(PRESETS["quick"].of(STEPS), variance_draws=TOGETHER, reference_draws=REFERENCE, basket=names)
    basket, run = Basket(settings, task.layers), Trajectory(task, estimator(trainer, *task.layers), TRAINED_STEPS, 0)
    for step in range(1, TRAINED_STEPS + 1):
        run.advance(step)
    vae, x = run.step_once.vae, next(run.data)
    reference = reference_draws(vae, x, REFERENCE, stream(0, "basket", task.device))
    assert reference is not None
    yield row("", "norm_cut", mean_norm(reference))
    yield row("", "norm_encoder", mean_norm(encoder_draws(vae, x, block_means(reference, BLOCKS))))
    for name, found in basket.measure(vae, x, stream(0, "basket", task.device)).items():
        if not isinstance(found, str):
            yield from (row(name, metric, samples) for metric, samples in found.items())


def mean_norm(draws: Tensor) -> float:
    """||E g|| from n draws without the noise of the mean: the root of the mean of g·g' over pairs of draws."""
    flat, n = draws.flatten(1).double(), len(draws)
    return float((flat.sum(0).square().sum() - flat.square().sum()).div(n * (n - 1)).clamp_min(0).sqrt())


def row(name: str, metric: str, found: float | st.Quantity | np.ndarray) -> Row:
    quantity = st.mean(found) if isinstance(found, np.ndarray) else found
    quantity = quantity if isinstance(quantity, st.Quantity) else st.Quantity(quantity)
    return {"estimator": name, "metric": metric, "value": quantity.value, "lo": quantity.lo, "hi": quantity.hi}


def calls(task: MnistTask, names: tuple[str, ...]) -> Iterator[Row]:
    """Evaluations and differentiations of f for one gradient draw per data point, at the size of the task's latent."""
    (spec,) = task.layers
    for name in names:
        counted = timed_steps(task, estimator(name, spec), 0).f
        assert counted is not None
        yield row(name, "evaluations", counted.evaluations)
        yield row(name, "differentiations", counted.differentiations)


def toys(names: list[Name]) -> pd.DataFrame:
    """The toy table of gradient draws alone, with the norm of the exact gradient in each line."""
    progress = Progress(end=lambda cell, status, reason, seconds: print(status, cell, file=sys.stderr, flush=True))
    with tempfile.TemporaryDirectory() as folder:
        session = Session.prepare(names, TASKS.select(TOYS), PRESETS["quick"], 1, "cpu", 1, Path(folder), [DRAWS])
        session.run(progress, fresh=True)
        rows = session.rows()
    norms = rows[(rows["metric"] == "gradient_norm") & (rows["group"] == "cut")].groupby("task")["value"].first()
    numbers = toy_table(rows).numbers.query("verdict != 'unsupported'")
    return numbers.assign(norm=numbers["task"].map(norms)).drop(columns=["time", "time_lo", "time_hi"], errors="ignore")


def main() -> None:
    steady_host(1)
    names = ESTIMATORS.select(["all", *SIZES])
    OUT.mkdir(parents=True, exist_ok=True)
    toys(names).to_csv(OUT / "toys.csv", index=False, float_format="%.6g")
    tables = []
    for text, trainer in TRAINED_BY.items():
        (name,) = TASKS.select([text])
        task = TASKS.find(name.family).load()(**name.values)
        rows = list(at_the_end(task, trainer, tuple(map(str, names))))
        rows += calls(task, tuple(dict.fromkeys(each["estimator"] for each in rows if each["estimator"])))
        tables.append(pd.DataFrame(rows).assign(task=text, data=task.data, trained_by=trainer))
        pd.concat(tables).to_csv(OUT / "basket.csv", index=False, float_format="%.6g")
        print(f"{text}: {len(rows)} rows", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
