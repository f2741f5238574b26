"""Four prompts and a policy over short sequences of tokens, small enough to enumerate every sequence."""

from __future__ import annotations

import collections.abc
from typing import Any

import torch
from torch import Tensor

from ...estimators.contract import Estimator
from ...estimators.latents import Latent, LatentSpec, Objective, Sequence
from ...estimators.latents.sequence import numbered
from ...estimators.names import UsageError
from ..contract import Lower, Toy

SCALES = (0.5, 1.0, 2.0, 4.0)
FEATURES = 3
MOVE = 0.1


class TokenSequence(Toy):
    """f(z) = -reward(prompt, z): a random table over all sequences of at most t tokens out of k, one of which ends it.

    Four prompts, whose rewards have .5, 1, 2 and 4 as mean and deviation, share the weights W of their policy: the
    logits of every prefix are linear in three features of the prompt. The reference policy is a random table, and so is
    one step of the policy: the stale one, from which off-policy estimators draw, is `stale` of these steps behind. The
    loss is E f + beta KL(q || reference), whose second part is exact for estimators that leave it to the task.
    """

    name = "sequence"
    layer = "sequence {t}x{k}"
    sources = ("draws", "clock", "enumeration")
    hyperparameters = {
        "t": {"default": 3, "min": 1, "max": 8, "about": "steps, the largest length"},
        "k": {"default": 3, "min": 2, "max": 16, "about": "tokens, the last of which ends the sequence"},
        "beta": {"default": 0.0, "min": 0.0, "about": "weight of KL(q || reference) in the objective"},
        "stale": {"default": 3, "min": 0, "max": 100, "about": "steps by which the policy of stale samples is behind"},
    }

    t: int
    k: int
    beta: float
    stale: int

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        spec = LatentSpec.sequence(self.t, self.k)
        if spec.configurations > self.ENUMERABLE:
            raise UsageError(
                f"sequence: t={self.t} and k={self.k} make {spec.configurations} sequences, more than "
                f"{self.ENUMERABLE}: take fewer steps or tokens"
            )
        self.layers = (spec,)
        self.features = self.random(len(SCALES), FEATURES, seed=1)
        self.weights = self.random(FEATURES, *spec.param_shape, seed=2).mul(0.5).requires_grad_()
        self.reward = 1 + self.random(len(SCALES), spec.configurations, seed=3)
        self.reward = (self.constant(torch.tensor(SCALES)).unsqueeze(-1) * self.reward).requires_grad_()
        self.prior = 0.5 * self.random(len(SCALES), *spec.param_shape, seed=4)
        self.behind = self.params().detach() - MOVE * self.stale * self.random(len(SCALES), *spec.param_shape, seed=5)

    @property
    def width(self) -> int:
        return self.reward.numel()

    def params(self) -> Tensor:
        return torch.einsum("bf,fpk->bpk", self.features, self.weights)

    def latent(self, params: Tensor) -> Latent:
        return Sequence(params, self.prior, self.behind, self.beta)

    def groups(self) -> dict[str, list[Tensor]]:
        return {"encoder": [self.weights], "decoder": [self.reward]}

    def objective(self, latent: Latent, lower: collections.abc.Sequence[Lower] = ()) -> Objective:
        prompt = torch.arange(len(SCALES), device=self.device)
        return lambda z: -self.reward[prompt, numbered(z)[..., -1]]

    def regulariser(self, latent: Latent) -> Tensor | None:
        return self.beta * latent.kl_to_prior() if self.beta else None

    def loss_parts(
        self, estimator: Estimator | None, latent: Latent, lower: collections.abc.Sequence[Lower] = ()
    ) -> tuple[Objective, Tensor | None]:
        f, regulariser = super().loss_parts(estimator, latent, lower)
        penalised = estimator is not None and estimator.claim().target == "penalised"
        return f, None if penalised else regulariser
