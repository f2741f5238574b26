"""Estimators on subsets made wrong, as SUBSETS: a distribution, a score or a baseline taken for another."""

from __future__ import annotations

from typing import Any

import torch
from dvae_bench.estimators.contract import Estimate, Estimator, expand_right
from dvae_bench.estimators.enumeration.conditional_expectation import ConditionalExpectation
from dvae_bench.estimators.latents import Latent, Objective, Subset
from dvae_bench.estimators.score_function.rloo import Rloo
from torch import Generator, Tensor


class SfessWithFullMean(Rloo):
    """The mean of all draws in place of that of the others, as in SFESS's public code: (n - 1) / n of the gradient."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        advantage = (f_z - f_z.mean(0)).detach()
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).mean(0))


class WithoutLogPartition(Rloo):
    """The score of exp(φ · z) alone, z: the derivative of log e_k, the marginals, is left out. There is no baseline:
    the weights of leave-one-out sum to zero, so that a constant in the score drops out.
    """

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z = f(draw)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach(), draw) * draw).mean(0))


class OfIndependentBits(Rloo):
    """The score of n independent bits, z - σ(φ), without that of their sum; no baseline, for the same reason."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), draw - latent.params.detach().sigmoid()
        return Estimate(f_z.mean(0), (expand_right(f_z.detach(), score) * score).mean(0))


class DrawnByInclusion(Rloo):
    """k draws without replacement in proportion to the marginals, as if these were the probabilities of the next item
    given those that are drawn.
    """

    def sample(self, latent: Subset, generator: Generator | None) -> Tensor:
        weights = latent.at(latent.probs.detach().log())
        return latent.harden(weights.perturb(weights.noise(self.n, generator)))


class TopOfGumbels(Rloo):
    """The k largest perturbed logits as if they were a draw of q."""

    def sample(self, latent: Subset, generator: Generator | None) -> Tensor:
        return latent.harden(latent.perturb(latent.noise(self.n, generator)))


class OthersUnconditioned(ConditionalExpectation):
    """Item i changed and nothing else: the others have the distribution given the item's other value."""

    def sample(self, latent: Subset, generator: Generator | None) -> Any:
        right = super().sample(latent, generator)
        own = torch.eye(right.shape[-1], dtype=torch.bool).view(len(right) - 1, *[1] * (right.dim() - 2), -1)
        return torch.cat([right[:1], torch.where(own, 1 - right[:1], right[:1])])


SUBSETS: dict[str, tuple[type[Estimator], str, dict[str, Any], set[str]]] = {
    "sfess with the full mean": (SfessWithFullMean, "subset", {}, {"cut"}),
    "a subset without its log-partition": (WithoutLogPartition, "subset", {}, {"cut"}),
    "a subset as independent bits": (OfIndependentBits, "subset", {}, {"cut"}),
    "inclusion for conditional probabilities": (DrawnByInclusion, "subset", {}, {"cut", "decoder"}),
    "the top of gumbels as a draw": (TopOfGumbels, "subset", {}, {"cut", "decoder"}),
    "an item changed alone": (OthersUnconditioned, "subset", {}, {"value", "cut", "decoder"}),
}
