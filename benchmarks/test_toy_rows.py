"""Speed of our gradient draws with their moments relative to hand-written ones, on 200 bits.

Ours computes as many replicates at a time as a cell of the quick preset; the hand-written code HAND at a time, which
stay in the cache. `speed` is relative to code that keeps only mean, variance and block means; `speed_same_moments` to
code that keeps the same moments as ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws.draws import unit
from dvae_bench.bench.sources.draws.replicates import draw_replicates
from dvae_bench.bench.sources.draws.work import count_work
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.statistics.moments import Accumulator
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.toys.bit import Bit
from minimal_rows import Moments, minimal_rows
from pairing import paired_ratio
from torch import Tensor

SIZE, HAND = 200, 1000
NAMES = (
    "reinforce",
    "rloo",
    "arm",
    "disarm",
    "rebar",
    "relax",
    "gumbel-softmax",
    "st-gumbel-softmax",
    "straight-through",
)


@pytest.mark.parametrize("name", NAMES)
def test_rows(benchmark: Callable, name: str) -> None:
    task, settings = Bit(d=SIZE), DrawSettings()
    layers = Layers(ESTIMATORS.find(name).load(), {}, task, torch.device("cpu"))
    layers.eval()
    sample, lower, by_hand = (stream(0, purpose) for purpose in ("sample", "lower", "by hand"))
    rows = count_work(layers, task).draws(settings.chunk_elements, settings.rows)
    directions = {group: unit(exact.flatten()).float() for group, exact in task.exact(layers.top).items()}
    params, draw = task.params().detach().expand(rows, SIZE).clone(), minimal_rows(name, SIZE)

    def accumulator(group: str) -> Accumulator:
        return Accumulator(1, rows, directions.get(group))

    def ours() -> None:
        for group, draws in draw_replicates(layers, task, rows, sample, lower).items():
            accumulator(group).add(draws)

    def theirs(moments: Callable[[Tensor], None]) -> Callable[[], None]:
        def run() -> None:
            for part in params.split(HAND):
                moments(draw(part, by_hand))

        return run

    ours()
    benchmark.group = "gradient draws with moments, D=200"
    benchmark.extra_info["rows"] = rows
    for key, moments in (("speed", Moments(SIZE).add), ("speed_same_moments", lambda g: accumulator("cut").add(g))):
        benchmark.extra_info[key] = asdict(paired_ratio(theirs(moments), ours))
    benchmark.pedantic(ours, rounds=6, iterations=1)
