"""Time and memory of a million gradient draws with their moments, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

SCRIPT = """
import json, resource, sys, time
import torch
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws.draws import draw_gradients
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
steady_host(1)
task = TASKS.find("bit").load()(d=200)
layers = Layers(ESTIMATORS.find(sys.argv[1]).load(), {}, task, torch.device("cpu"))
start = time.perf_counter()
draws = draw_gradients(layers, task, DrawSettings(blocks=64, rows=15625, elements=1e12, chunk_elements=1e7), seed=0)
seconds = time.perf_counter() - start
print(json.dumps({"draws": draws.moments["cut"].n, "seconds": seconds,
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


@pytest.mark.parametrize("name", ["reinforce", "rloo", "disarm", "straight-through", "gumbel-softmax", "rebar"])
def test_million_draws_of_200_bits(benchmark: Callable, name: str) -> None:
    benchmark.group = "1,000,000 draws with moments, D=200"

    def measure() -> None:
        command = [sys.executable, "-c", SCRIPT, name]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        benchmark.extra_info.update(json.loads(out))

    benchmark.pedantic(measure, rounds=1, iterations=1)
