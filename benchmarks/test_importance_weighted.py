"""The importance-weighted bound of 5,000 draws beside the matrix products of its decoder, for each network.

`seconds_for_all` is extrapolated from IMAGES to the 10,000 test images, `of_products` is the multiple of the time of
the products. Both are seconds of the processor, which other processes do not change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest
import torch
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.tasks.vae.bounds import importance_weighted
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from torch import Tensor, nn

IMAGES, ALL, DRAWS, ROWS = 100, 10_000, 5000, 1000
TIMED = 1000
"""Draws per image that are timed; their time is proportional to their number."""
NETWORKS = {
    "linear": {"arch": "linear"},
    "nonlinear": {"arch": "nonlinear"},
    "200 sites of 2 classes": {"arch": "categorical", "n": 200, "k": 2},
    "20 sites of 10 classes": {"arch": "categorical"},
    "8 sites of 64 classes": {"arch": "hooper"},
}


@pytest.mark.parametrize("values", NETWORKS.values(), ids=NETWORKS)
def test_bound_of_5000_draws(benchmark: Callable, values: dict) -> None:
    steady_host(1)
    task = MnistVae(**values)
    vae, x = task.model(0), task.evaluation_images(task.test, IMAGES)
    bound = partial(importance_weighted, vae, x, TIMED, stream(0, "evaluation"))
    benchmark.pedantic(bound, rounds=3, iterations=1, warmup_rounds=1)
    layers = [layer for layer in vae.decoder if isinstance(layer, nn.Linear)]
    inputs = [torch.randn(ROWS, layer.in_features) for layer in layers]
    passes = IMAGES * TIMED // ROWS
    seconds = least(bound)
    benchmark.extra_info["seconds_for_all"] = seconds * ALL / IMAGES * DRAWS / TIMED
    benchmark.extra_info["of_products"] = seconds / (passes * least(partial(products, layers, inputs)))


@torch.no_grad()
def products(layers: list[nn.Linear], inputs: list[Tensor]) -> None:
    for layer, x in zip(layers, inputs, strict=True):
        layer(x)


def least(call: Callable[[], object], times: int = 5) -> float:
    """The seconds of the processor for the fastest of some calls, after one that does not count."""
    call()
    found = []
    for _ in range(times):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)
