"""The importance-weighted bound of 5,000 draws: minutes for the 10,000 test images, extrapolated from IMAGES."""

from __future__ import annotations

from collections.abc import Callable

from dvae_bench.bench.sources.streams import stream
from dvae_bench.tasks.vae.bounds import importance_weighted
from dvae_bench.tasks.vae.mnist_vae import MnistVae

IMAGES, ALL, DRAWS = 20, 10_000, 5000


def test_bound_of_5000_draws(benchmark: Callable) -> None:
    task = MnistVae(arch="linear")
    vae, x = task.model(0), task.evaluation_images(task.test, IMAGES)
    benchmark.pedantic(importance_weighted, args=(vae, x, DRAWS, stream(0, "evaluation")), rounds=3, iterations=1)
    benchmark.extra_info["minutes_for_all"] = benchmark.stats.stats.median * ALL / IMAGES / 60
