"""The moments of a gradient draw by enumeration: E g = Σ_z q(z) E[g | z]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ....estimators.contract import Estimator
from ....estimators.latents import Latent
from ....estimators.names import Unsupported
from ....tasks.contract import Toy
from ..build import Layers
from ..gradient import Problem, draw_gradient, toy_problem
from ..settings import EnumerationSettings
from ..streams import stream


@dataclass(frozen=True)
class Enumerated:
    """Of each block: the mean gradient, [blocks, D], and the mean of its square, [blocks]. exact: ∇ E_q f, [D].

    Blocks differ only if the estimator draws more than z, which `draws` draws per configuration average.
    """

    mean: np.ndarray
    square: np.ndarray
    exact: np.ndarray
    draws: int
    configurations: int


class Given:
    """A mixin for latents: a latent whose single draw is the z given to it."""

    z: Tensor
    drawn = 0
    name = ""

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        if n != 1:
            raise Unsupported(f"{self.name} draws several z at once, and their combinations are not enumerated")
        self.drawn += 1
        return self.z

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        raise Unsupported(f"{self.name} draws noise instead of z, and noise cannot be enumerated")


def given(latent: Latent, z: Tensor, name: str) -> Any:
    """The same latent, but its `sample` gives z [1, *batch, *event]."""
    kind: Any = type("GivenLatent", (Given, type(latent)), {})
    made = kind.__new__(kind)
    vars(made).update(vars(latent), z=z, name=name)
    return made


def enumerate_draws(layers: Layers, toy: Toy, settings: EnumerationSettings, seed: int) -> Enumerated:
    """The moments of the estimator as it is made, without tuning, in float64 on the CPU.

    Raises Unsupported for more than one layer, too many configurations, and estimators that do not draw one z.
    """
    spec, estimator, toy = toy.layers[0], layers.top.to("cpu", torch.float64).eval(), toy.in_float64()
    if len(toy.layers) > 1 or not 0 < spec.configurations <= Toy.ENUMERABLE:
        raise Unsupported(f"{toy.name} has more than one layer, or more than {Toy.ENUMERABLE} configurations of z")
    latent: Any = toy.latent(toy.params().detach())
    every = latent.configurations(0, spec.configurations)
    weights = latent.log_prob(every).exp()
    batch = (settings.draws, spec.configurations)
    z = every.expand(1, settings.draws, *every.shape)
    problem, generator = toy_problem(toy), stream(seed, "enumeration", toy.device)
    fixed = replace(problem, latent=lambda params: given(problem.latent(params), z, estimator.name))
    moments = [_block(fixed, estimator, toy.params(), batch, weights, generator) for _ in range(settings.blocks)]
    means, squares = zip(*moments, strict=True)
    exact = toy.exact()["cut"].flatten().numpy()
    return Enumerated(np.stack(means), np.array(squares), exact, settings.draws, spec.configurations)


def _block(
    problem: Problem,
    estimator: Estimator,
    once: Tensor,
    batch: tuple[int, int],
    weights: Tensor,
    generator: Generator,
) -> tuple[np.ndarray, float]:
    """E g and E |g|², each the mean over the draws, weighted by q(z)."""
    params = once.expand(*batch, *once.shape)
    drawn = draw_gradient(problem, estimator, params, generator)
    if getattr(drawn.latent, "drawn", 0) != 1:
        raise Unsupported(f"{estimator.name} does not draw one z by itself, so that it cannot be enumerated")
    (gradient,) = torch.autograd.grad(drawn.loss.sum(), [params])
    g = gradient.flatten(2)
    return (weights @ g.mean(0)).numpy(), float(weights @ g.square().sum(-1).mean(0))
