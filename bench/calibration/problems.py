"""Random problems whose exact gradients are known, and the candidates of a ranking on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...estimators.latents import Bernoulli, Categorical, Latent, Objective, expectation
from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS
from ..advice.given import Given
from ..ranking.budget import COUNTS, FREE, Budget
from ..ranking.candidate import Candidate
from ..sources.build import Layers
from ..sources.draws.replicates import draw_replicates
from ..sources.draws.work import count_calls
from ..sources.streams import stream
from ..statistics.products import Products

SHARED = ("reinforce", "rloo", "rloo:n=4", "muprop", "straight-through", "reinmax", "gumbel-softmax", "gapped-st")
CANDIDATES = {"bits": (*SHARED, "disarm", "bitflip"), "classes": (*SHARED, "unordered-set:k=2", "st-gumbel-softmax")}
REFERENCE = "rloo:n=4"
LARGEST, HIDDEN, CHUNK = 4096, 8, 20_000


@dataclass(frozen=True)
class Problem:
    """f(z) = a · tanh(W z + b) + c, all random, at random logits of a random scale, and a budget."""

    kind: str
    seed: int
    f: Objective
    latent: Latent
    budget: Budget

    @classmethod
    def random(cls, seed: int) -> Problem:
        """2 to 10 bits, or 2 to 7 sites of 3 to 10 classes with at most 4096 configurations in all."""
        rng = np.random.default_rng([seed, 20])
        kind = ("bits", "classes")[seed % 2]
        sites, scale = int(rng.integers(2, 11 if kind == "bits" else 8)), float(rng.uniform(0.5, 4))
        classes = int(rng.integers(3, 11))
        while classes > 3 and classes**sites > LARGEST:
            classes -= 1
        shape = (sites,) if kind == "bits" else (sites, classes)
        logits = torch.tensor(scale * rng.standard_normal(shape), dtype=torch.float32)
        budget = Budget((2.0, 16.0)[seed // 2 % 2], differentiation=(COUNTS, FREE)[seed // 4 % 2])
        f = _network(rng, int(np.prod(shape)), len(shape))
        return cls(kind, seed, f, Bernoulli(logits) if kind == "bits" else Categorical(logits), budget)

    @property
    def exact(self) -> np.ndarray:
        """The exact gradient, by enumeration in float64 [D]."""
        params = self.latent.params.double().requires_grad_()
        (gradient,) = torch.autograd.grad(expectation(self.f, self.latent.at(params)), params)
        return gradient.flatten().numpy()

    def layers(self, name: str) -> Layers:
        parsed = Name.parse(name)
        layers = Layers(ESTIMATORS.find(parsed.family).load(), parsed.values, self.task, torch.device("cpu"))
        layers.eval()
        return layers

    @property
    def task(self) -> Given:
        return Given(self.f, self.latent)

    def draws(self, name: str, purpose: str) -> Iterator[np.ndarray]:
        """Endless chunks of gradient draws [CHUNK, D]; estimators share the random numbers of a purpose."""
        layers, sample = self.layers(name), stream(self.seed, purpose)
        while True:
            yield draw_replicates(layers, self.task, CHUNK, sample, sample)["cut"].numpy()

    def first(self, name: str, purpose: str, n: int) -> np.ndarray:
        """The first n gradient draws [n, D]."""
        chunks = self.draws(name, purpose)
        return np.concatenate([next(chunks) for _ in range(-(-n // CHUNK))])[:n]

    def candidate(self, name: str, products: Products, noise: str = "") -> Candidate:
        evaluations, differentiations = count_calls(self.layers(name), self.task)
        return Candidate(name, products, evaluations, differentiations, noise=noise)


def _network(rng: np.random.Generator, width: int, dimensions: int) -> Objective:
    """A random network of one hidden layer, in the dtype of its z [..., *event]."""
    steepness = rng.uniform(0.3, 2)
    into = torch.tensor(steepness * rng.standard_normal((width, HIDDEN)))
    bias, out, offset = (torch.tensor(rng.standard_normal(size)) for size in (HIDDEN, HIDDEN, 1))

    def f(z: Tensor) -> Tensor:
        flat = z.flatten(-dimensions)
        hidden = (flat @ into.to(z) + bias.to(z)).tanh()
        return hidden @ out.to(z) + offset.to(z)

    return f
