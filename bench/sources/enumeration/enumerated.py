"""The moments of a gradient draw by enumeration: E g = Σ_z q(z) E[g | z], over all z that it draws together."""

from __future__ import annotations

import math
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

LIMIT = 2**16
"""The most combinations of several z, and the most gradient draws of them in one call."""


@dataclass(frozen=True)
class Enumerated:
    """Of each block: the mean gradient, [blocks, D], and the mean of its square, [blocks]. exact: ∇ E_q f, [D].

    Blocks differ only if the estimator draws more than z, which `draws` draws per configuration average.
    configurations: of z, or of all z that are drawn together. points: the number of data points, whose equal parts of D
    stand one after the other.
    """

    mean: np.ndarray
    square: np.ndarray
    exact: np.ndarray
    draws: int
    configurations: int
    points: int = 1


class Given:
    """A mixin for latents: a latent whose draws are the z given to it. behind: its `behaviour`, if that is another."""

    z: Tensor
    drawn = 0
    name = ""
    behind: Any = None

    @property
    def behaviour(self) -> Any:
        return self if self.behind is None else self.behind

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        if n != len(self.z):
            raise Unsupported(f"{self.name} draws {n} z at once, more than its hyper-parameters say: {len(self.z)}")
        self.drawn += 1
        return self.z

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        raise Unsupported(f"{self.name} draws noise instead of z, and noise cannot be enumerated")


def given(latent: Latent, z: Tensor, name: str) -> Any:
    """The same latent, but its `sample`, and that of its `behaviour`, gives z [n, *batch, *event]."""
    kind: Any = type("GivenLatent", (Given, type(latent)), {})
    made = kind.__new__(kind)
    vars(made).update(vars(latent), z=z, name=name)
    if latent.behaviour is not latent:
        made.behind = given(latent.behaviour, z, name)
    return made


def enumerate_draws(layers: Layers, toy: Toy, settings: EnumerationSettings, seed: int) -> Enumerated:
    """The moments of the estimator as it is made, without tuning, in float64 on the CPU.

    Raises Unsupported for more than one layer, too many configurations, and estimators that do not draw their z alone.
    """
    spec, estimator, toy = toy.layers[0], layers.top.to("cpu", torch.float64).eval(), toy.in_float64()
    if len(toy.layers) > 1 or not 0 < spec.configurations <= Toy.ENUMERABLE:
        raise Unsupported(f"{toy.name} has more than one layer, or more than {Toy.ENUMERABLE} configurations of z")
    n, combinations = estimator.n, spec.configurations**estimator.n
    if n > 1 and combinations > LIMIT:
        raise Unsupported(f"{estimator.name} draws several z at once, which have more than {LIMIT} combinations")
    draws = settings.draws if n == 1 else max(1, min(settings.draws, LIMIT // combinations))
    latent: Any = toy.latent(toy.params().detach())
    every = latent.configurations(0, spec.configurations)
    index = torch.cartesian_prod(*[torch.arange(spec.configurations)] * n).view(combinations, n).T
    z = every[index].unsqueeze(1).expand(n, draws, *every[index].shape[1:])
    problem, generator = toy_problem(toy), stream(seed, "enumeration", toy.device)
    fixed = replace(problem, latent=lambda params: given(problem.latent(params), z, estimator.name))

    def weights(of: Latent) -> Tensor:
        """The probability of each combination for every data point, [combinations, points]."""
        return of.log_prob(every)[index].sum(0).exp().view(combinations, -1)

    known = {False: weights(latent), True: weights(latent.behaviour)}
    moments = []
    for _ in range(settings.blocks):
        before = generator.get_state()
        moments.append(_block(fixed, estimator, toy.params(), (draws, combinations), known, generator))
        if torch.equal(before, generator.get_state()):  # nothing but z is drawn, so that all blocks are the same
            moments *= settings.blocks
            break
    means, squares = zip(*moments, strict=True)
    exact = toy.exact()["cut"].flatten().numpy()
    points = math.prod(latent.batch_shape)
    return Enumerated(np.stack(means), np.array(squares), exact, draws, combinations, points)


def _block(
    problem: Problem,
    estimator: Estimator,
    once: Tensor,
    batch: tuple[int, int],
    weights: dict[bool, Tensor],
    generator: Generator,
) -> tuple[np.ndarray, float]:
    """E g and E |g|², each the mean over the draws, weighted by the probability of z: q's, or that of its behaviour."""
    params = once.expand(*batch, *once.shape)
    drawn = draw_gradient(problem, estimator, params, generator)
    latent: Any = drawn.latent
    stale = getattr(latent.behind, "drawn", 0)
    if latent.drawn + stale != 1:
        raise Unsupported(f"{estimator.name} does not draw one z by itself, so that it cannot be enumerated")
    (gradient,) = torch.autograd.grad(drawn.loss.sum(), [params])
    of_points = list(zip(weights[bool(stale)].T, gradient.flatten(2).chunk(len(weights[False].T), -1), strict=True))
    mean = np.concatenate([(weight @ g.mean(0)).numpy() for weight, g in of_points])
    return mean, sum(float(weight @ g.square().sum(-1).mean(0)) for weight, g in of_points)
