"""Marginals and a draw of 100 of 1,000 items, batch 64, on one thread: within 50 ms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from dvae_bench import Subset

LIMIT_MS = 50


def test_marginals_and_a_draw(benchmark: Callable) -> None:
    latent = Subset(torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)), 100)

    def both() -> None:
        with torch.no_grad():
            latent.probs.sum()
            latent.sample(1, None).sum()

    benchmark.pedantic(both, rounds=20, iterations=1, warmup_rounds=2)
    benchmark.extra_info["median_ms"] = 1e3 * benchmark.stats.stats.median
    benchmark.extra_info["limit_ms"] = LIMIT_MS


def test_the_gradient_of_the_marginals(benchmark: Callable) -> None:
    """One step of SIMPLE: a draw, and back through the marginals."""
    logits = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def step() -> None:
        logits.grad = None
        latent = Subset(logits, 100)
        p = latent.probs
        (latent.sample(1, None) + p - p.detach()).square().sum().backward()

    benchmark.pedantic(step, rounds=20, iterations=1, warmup_rounds=2)
