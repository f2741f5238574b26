"""Gains and costs of the speed paths on this machine: `python scripts/speed_paths.py [FOLDER]`, some minutes.

Step times relative to the plain path's, in pairs and in CPU seconds of one thread. For bfloat16 also the test ELBO
after STEPS steps of training, and the gradient's variance and the bias added by rounding, at one model, minibatch and
noise.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch._inductor.config as inductor
from dvae_bench.bench.report.numbers import with_interval
from dvae_bench.bench.report.tables.table import Table
from dvae_bench.bench.sources.settings import TrainSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.bench.sources.training.evaluation import evaluate
from dvae_bench.bench.sources.training.logits_gradients import encoder_draws, logits_draws, squared_distances
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.sources.training.trajectory import Trajectory
from dvae_bench.bench.statistics import intervals as st
from dvae_bench.bench.statistics.intervals import Quantity
from dvae_bench.estimators import estimator
from dvae_bench.tasks.vae.mnist_vae import MnistVae

ROOT = Path(__file__).resolve().parent.parent
ESTIMATORS = ("reinforce", "disarm", "gumbel-softmax", "straight-through")
TIMED = [*(("nonlinear", name) for name in ESTIMATORS), ("linear", "reinforce"), ("hooper", "reinmax")]
PATHS = {"bf16": {"autocast": "bf16"}, "compile": {"compile": "yes"}}
SEEDS, STEPS, DRAWS, PAIRS, CALLS = 3, 500, 64, 40, 4
EVALUATION = TrainSettings(images=10_000, iw_images=2, iw_samples=1, variance_draws=3, reference_draws=16)
WORDS = {
    "step time": "CPU seconds per step over the plain path's, median of pairs",
    "first step": "CPU seconds of the first step with an empty compiler cache, the C++ compiler's included",
    "test ELBO, plain": "mean over seeds of 10,000 images",
    "test ELBO, difference": "bf16 minus plain, by seed, t interval",
    "variance": "of the encoder's gradient, bf16 over plain at the same models, by seed, t interval of its log",
    "added bias": "of the logits gradient, length of its mean change over that of its mean, by seed, t interval",
}


def main(folder: Path) -> None:
    steady_host(threads=1)
    write([*times(), *effects()], folder)


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    numbers = pd.DataFrame(rows)
    text = numbers[["task", "estimator", "path", "quantity"]].assign(
        value=[with_interval(row["value"], row["lo"], row["hi"]) for row in rows], n=numbers["n"].astype(str)
    )
    explained = "; ".join(f"{quantity}: {words}" for quantity, words in WORDS.items())
    caption = f"The speed paths of training on this machine, torch {torch.__version__}, one thread. {explained}."
    folder.mkdir(parents=True, exist_ok=True)
    table = Table("speed-paths", caption, numbers, text)
    (folder / "speed-paths.csv").write_text(table.csv(), encoding="utf-8")
    (folder / "speed-paths.md").write_text(table.markdown(), encoding="utf-8")


def line(arch: str, name: str, path: str, quantity: str, found: Quantity, n: int) -> dict[str, Any]:
    print(f"{arch} {name} {path} {quantity}: {found.value:.4g} [{found.lo:.4g}, {found.hi:.4g}]", flush=True)
    about = {"task": f"mnist-vae:arch={arch}", "estimator": name, "path": path, "quantity": quantity}
    return about | {"value": found.value, "lo": found.lo, "hi": found.hi, "n": n}


def step_of(name: str, **values: str) -> TrainStep:
    task = MnistVae(**values)
    return TrainStep(task, estimator(name, task.spec), seed=0)


def times() -> Iterator[dict[str, Any]]:
    for arch, name in TIMED:
        plain = step_of(name, arch=arch)
        x = next(plain.task.batches(stream(0, "data")))
        for path, values in PATHS.items():
            fast = step_of(name, arch=arch, **values)
            if "compile" in values and (arch, name) == TIMED[0]:
                yield line(arch, name, path, "first step", Quantity(first_step(fast, x)), 1)
            for step in (plain, fast):
                seconds(step, x)
            quotients = [seconds(fast, x) / seconds(plain, x) for _ in range(PAIRS)]
            yield line(arch, name, path, "step time", st.median(np.array(quotients)), PAIRS)


def first_step(step: TrainStep, x: torch.Tensor) -> float:
    inductor.compile_threads = 1
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        before = os.times()
        step(x)
        return sum(os.times()[:4]) - sum(before[:4])


def seconds(step: TrainStep, x: torch.Tensor) -> float:
    start = time.process_time()
    for _ in range(CALLS):
        step(x)
    return time.process_time() - start


def effects() -> Iterator[dict[str, Any]]:
    for name in ESTIMATORS:
        seeds = [effect(name, seed) for seed in range(SEEDS)]
        plain, fast, variance, bias = map(np.array, zip(*seeds, strict=True))
        log = st.mean(np.log(variance))
        yield line("nonlinear", name, "plain", "test ELBO, plain", st.mean(plain), SEEDS)
        yield line("nonlinear", name, "bf16", "test ELBO, difference", st.mean(fast - plain), SEEDS)
        ratio = Quantity(float(np.exp(log.value)), lo=float(np.exp(log.lo)), hi=float(np.exp(log.hi)))
        yield line("nonlinear", name, "bf16", "variance", ratio, SEEDS)
        yield line("nonlinear", name, "bf16", "added bias", st.mean(bias), SEEDS)


def effect(name: str, seed: int) -> tuple[float, float, float, float]:
    """Test ELBO of the plain path and of bfloat16; variance ratio and added bias at the plain path's model."""
    plain, fast = (trained(name, seed, **values) for values in ({}, PATHS["bf16"]))
    elbos = [elbo(step, seed) for step in (plain, fast)]
    fast.load_state_dict(plain.state_dict())
    x = plain.task.evaluation_images(plain.task.train, plain.task.batch)
    for step in (plain, fast):
        step.estimator.eval()
    gradients = [logits_draws(step.vae, step.estimator, x, DRAWS, stream(seed, "evaluation")) for step in (plain, fast)]
    spreads = [
        float(squared_distances(encoder_draws(step.vae, x, gradient)).mean())
        for step, gradient in zip((plain, fast), gradients, strict=True)
    ]
    change, mean = (gradients[1] - gradients[0]).flatten(1), gradients[0].flatten(1).mean(0)
    own = float(squared_distances(change).mean()) / DRAWS
    added = max(0.0, float(change.mean(0).square().sum()) - own) ** 0.5
    return elbos[0], elbos[1], spreads[1] / spreads[0], added / float(mean.norm())


def trained(name: str, seed: int, **values: str) -> TrainStep:
    task = MnistVae(arch="nonlinear", **values)
    run = Trajectory(task, estimator(name, task.spec), STEPS, seed)
    for step in range(1, STEPS + 1):
        run.advance(step)
    return run.step_once


def elbo(step: TrainStep, seed: int) -> float:
    x = step.task.evaluation_images(step.task.train, step.task.batch)
    bounds = evaluate(step, step.task, EVALUATION, seed, x, final=False)["elbo_test"]
    assert isinstance(bounds, np.ndarray)
    return float(bounds.mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "reference" / "speed-paths")
