"""Draws of a plugin file's rows on a toy, as JSON; in a process of its own, since some peers patch torch on import.

peer_draws.py FILE TASK ROWS NAME...      blocks of draws: {NAME: {"means": [64, D], "spread": [64]}}
peer_draws.py FILE as-they-are            storch.backward() on a leaf beside our row: {NAME: largest difference}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws.draws import draw_gradients
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.estimators.foreign import seeded
from dvae_bench.estimators.latents import Bernoulli, LatentSpec
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from torch import Tensor


def blocks(task: str, rows: str, *names: str) -> dict[str, Any]:
    family = Name.parse(task)
    toy = TASKS.find(family.family).load()(**family.values)
    found = {}
    for name in names:
        layers = Layers(ESTIMATORS.find(name).load(), {}, toy, torch.device("cpu"))
        cut = draw_gradients(layers, toy, DrawSettings(rows=int(rows)), seed=0).moments["cut"]
        assert cut.block_spread is not None
        found[name] = {"means": cut.block_means.tolist(), "spread": cut.block_spread.tolist()}
    return found


def as_they_are() -> dict[str, float]:
    """Fresh methods on the same rows and seed: gradients in the logits and in f's own parameter, times the rows."""
    import storch

    def f(z: Tensor) -> Tensor:
        return (z * weight).sum(-1).square()

    logits, weight = torch.linspace(-1, 1, 15).view(5, 3), torch.linspace(0.3, 1.2, 3).requires_grad_()
    cpu, differences = torch.device("cpu"), {}
    for plugin in ESTIMATORS.extra.values():
        row = plugin.load()(LatentSpec.bernoulli(3)).eval()
        ours = logits.clone().requires_grad_()
        generator = torch.Generator().manual_seed(1)
        seed = row.sample(Bernoulli(ours), torch.Generator().manual_seed(1))
        wanted = torch.autograd.grad(row(f, Bernoulli(ours), generator).sum(), [ours, weight], materialize_grads=True)
        (method,) = plugin.load()(LatentSpec.bernoulli(3)).method_alone
        leaf, weight.grad = logits.clone().requires_grad_(), None
        with seeded(seed, cpu):
            z = method(torch.distributions.Bernoulli(logits=storch.denote_independent(leaf, 0, "rows")))
            storch.add_cost(storch.deterministic(f)(z.float()), "f")
            storch.backward()
        theirs = [torch.zeros_like(t) if t.grad is None else 5 * t.grad for t in (leaf, weight)]
        differences[plugin.name] = max(float((a - b).abs().max()) for a, b in zip(wanted, theirs, strict=True))
    return differences


def main(file: str, what: str, *rest: str) -> None:
    torch.set_num_threads(1)
    ESTIMATORS.add_file(Path(file))
    print(json.dumps(as_they_are() if what == "as-they-are" else blocks(what, *rest)))


if __name__ == "__main__":
    main(*sys.argv[1:])
