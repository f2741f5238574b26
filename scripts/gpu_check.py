"""The stages of scripts/gpu_check.sh: `python scripts/gpu_check.py STAGE DEVICE FOLDER`; exits with 1 on a failure.

A stage writes each finding into FOLDER at once, so that a stage that is stopped keeps its findings so far.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from dvae_bench import estimator
from dvae_bench.bench.run.context import context
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import CLOCK
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.capture import capture
from dvae_bench.bench.sources.settings import ClockSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import device_from, steady_host
from dvae_bench.bench.sources.timing.timing import timed_draws, timed_steps
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.latents import Bernoulli
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.tasks.contract import Toy
from torch import Tensor

BEST_KNOWN = ("reinforce", "rloo", "arm", "disarm", "rebar", "relax", "gumbel-softmax", "straight-through")
FEW = ("reinforce", "disarm", "gumbel-softmax")
BATCHES = "mnist-vae:batch={100,2000}"
TRAINED = ("mnist-vae", "mnist-vae:arch={categorical,gaussian}", "mnist-vq:codebook={free,linear-codebook}")
COMPARED = 10
SHOWN = r"^(time_\w+|host_bound|launches|memory_peak|rounds)$"
SUM_OF_784, BFLOAT16 = 784 * 2**-24, 2**-8
"""Largest relative error of a loss: a float32 sum of 784 terms in another order, and networks in bfloat16."""


class Findings:
    """The csv file of a stage, one line per attempt; failures are printed too."""

    COLUMNS = ("what", "task", "estimator", "outcome", "reason", "first error", "largest error", "ms", "plain ms")

    def __init__(self, path: Path) -> None:
        self.path, self.outcomes = path, Counter[str]()
        self.write(self.COLUMNS, mode="w")

    def write(self, line: Sequence[object], mode: str = "a") -> None:
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(line)

    def attempt(self, work: Callable[[], Sequence[float]], *about: str) -> str:
        """Run work and record `ok` with the numbers it returns, or `unsupported` or `failed` with the reason."""
        outcome, reason, numbers = "ok", "", list[float]()
        try:
            numbers = list(work())
        except Unsupported as error:
            outcome, reason = "unsupported", str(error)
        except Exception as error:
            outcome, reason = "failed", f"{type(error).__name__}: {error}"
            print(*about, outcome, reason, flush=True)
        self.outcomes[outcome] += 1
        self.write([*about, outcome, reason, *numbers])
        return outcome

    def failed(self) -> bool:
        """Whether an attempt failed, or none was ok."""
        print(", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items()), flush=True)
        return not self.outcomes["ok"] or self.outcomes["failed"] > 0


def machine(device: torch.device, folder: Path) -> bool:
    about = context(device, 1, steady_host(1))
    (folder / "context.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"torch {torch.__version__}, Python {about['versions']['python']}, {about['device_name']}")
    return False


def syncs(device: torch.device, folder: Path) -> bool:
    """Every gradient of the quick preset, with a host synchronisation counted as a failure."""
    found = Findings(folder / "syncs.csv")
    for name in TASKS.select(PRESETS["quick"].tasks):
        task = TASKS.find(name.family).load()(device, **name.values)
        for plugin in ESTIMATORS:
            found.attempt(partial(draw_watched, plugin.load(), task), "syncs", str(name), plugin.name)
    return found.failed()


def draw_watched(cls: Any, task: Any) -> Sequence[float]:
    """Raises RuntimeError where a gradient waits for the device.

    The first gradient is exempt: it may build tensors that are cached.
    """
    layers = Layers(cls, {}, task, task.device)
    if isinstance(task, Toy):
        timed = timed_draws(layers, task, ClockSettings(), 0)
    else:
        timed = timed_steps(task, layers.whole, 0)
    timed.gradient(stream(0, "check", task.device))
    generator = stream(1, "check", task.device)
    with no_sync(task.device):
        timed.gradient(generator)
    return []


@contextmanager
def no_sync(device: torch.device) -> Iterator[None]:
    """Inside, an operation that waits for the device raises; on the CPU this does nothing."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def core(device: torch.device, folder: Path) -> bool:
    """Times of the best-known estimators: between events, of enqueueing, of graph replays, and whether host-bound."""
    preset, names = PRESETS["quick"].changed(CLOCK, seconds=1.0), ESTIMATORS.select(BEST_KNOWN)
    failed = False
    for task in TASKS.select([BATCHES]):
        session = Session.prepare(names, [task], preset, 1, str(device), 1, folder / "core", [CLOCK])
        counts = session.run(Progress(), fresh=True)
        rows = session.rows()
        ok = rows["status"] == "ok"
        shown = rows[ok & rows["metric"].str.match(SHOWN)]
        print(f"{task}, {counts}; times in microseconds, medians, memory in bytes")
        print(shown.pivot_table("value", "estimator", "metric").round(1).to_string())
        for row in rows[~ok].itertuples():
            print(f"{row.estimator} {row.metric} {row.status}: {row.reason}")
        failed |= set(counts) != {"ok"}
    return failed


def graphs(device: torch.device, folder: Path) -> bool:
    """A training step of every estimator as a CUDA graph against the plain step, and fresh noise in replays."""
    if device.type == "cpu":
        print("nothing to capture on the CPU")
        return False
    found = Findings(folder / "graphs.csv")
    found.attempt(partial(fresh_noise, device), "fresh noise", "", "rloo")
    against_plain(found, device, SUM_OF_784, TRAINED, [plugin.name for plugin in ESTIMATORS], cuda_graphs="yes")
    return found.failed()


def fresh_noise(device: torch.device) -> Sequence[float]:
    """Raises RuntimeError where two replays of one captured gradient drew the same noise."""
    params = torch.zeros(1000, 8, device=device, requires_grad=True)
    rloo = estimator("rloo", Bernoulli(params).spec).eval()

    def gradient() -> Tensor:
        loss = rloo(lambda z: (z - 0.4).square().sum(-1), Bernoulli(params), None)
        return torch.autograd.grad(loss.sum(), params)[0]

    replay, answer = capture(gradient, gradient, device)
    replay()
    first = answer.clone()
    replay()
    if torch.equal(first, answer):
        raise RuntimeError("two replays drew the same noise")
    return []


def paths(device: torch.device, folder: Path) -> bool:
    """bfloat16 and compiled networks against the plain step."""
    found = Findings(folder / "paths.csv")
    against_plain(found, device, BFLOAT16, TRAINED[:1], FEW, autocast="bf16")
    against_plain(found, device, SUM_OF_784, TRAINED[:1], FEW, compile="yes")
    return found.failed()


def against_plain(
    found: Findings, device: torch.device, rounding: float, tasks: Sequence[str], names: Sequence[str], **path: Any
) -> None:
    """COMPARED steps of each estimator with and without a speed path, on the first of the tasks that it supports."""
    what = ", ".join(f"{key}={value}" for key, value in path.items())
    left = list(names)
    for task in TASKS.select(tasks):
        load = TASKS.find(task.family).load()
        plain, fast = (load(device, **task.values | more) for more in ({}, path))
        for name in list(left):
            if found.attempt(partial(compare, name, plain, fast, rounding), what, str(task), name) != "unsupported":
                left.remove(name)


def compare(name: str, plain_task: Any, fast_task: Any, rounding: float) -> Sequence[float]:
    """The relative error of the loss at the first step, the largest one, and milliseconds per step of both.

    Raises RuntimeError where a loss is off by more than rounding or the noise differs.
    """
    cls, device = ESTIMATORS.find(name).load(), plain_task.device
    plain, fast = (TrainStep(task, Layers(cls, {}, task, device).whole, 0) for task in (plain_task, fast_task))
    data = plain_task.batches(stream(0, "data", device))
    batches, errors = [next(data) for _ in range(COMPARED)], []
    for k, x in enumerate(batches):
        for step in (plain, fast):
            step.set_learning_rate(1e-3 / (1 + k))
        expected, loss = (float(step(x).mean()) for step in (plain, fast))
        errors.append(abs(loss / expected - 1))
    if not max(errors) <= rounding:
        raise RuntimeError(f"the loss is off by {max(errors):.1e}, at the first step by {errors[0]:.1e}")
    if not torch.equal(plain.generator.get_state(), fast.generator.get_state()):
        raise RuntimeError("the two steps drew different noise")
    return [errors[0], max(errors), milliseconds(fast, batches), milliseconds(plain, batches)]


def milliseconds(step: TrainStep, batches: Sequence[Tensor]) -> float:
    """Mean milliseconds per step; reading the last loss at the end waits for the device."""
    start = time.perf_counter()
    for x in batches:
        loss = step(x)
    float(loss.mean())
    return 1e3 * (time.perf_counter() - start) / len(batches)


STAGES = {stage.__name__: stage for stage in (machine, syncs, core, graphs, paths)}


def main() -> None:
    name, device, folder = sys.argv[1:]
    steady_host(1)
    try:
        failed = STAGES[name](device_from(device), Path(folder))
    except UsageError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
