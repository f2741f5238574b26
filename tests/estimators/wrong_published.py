"""Published estimators made wrong, as PUBLISHED: a factor dropped, a term lost, a baseline that sees its own draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from dvae_bench.estimators.bounds.multisample import Multisample
from dvae_bench.estimators.bounds.vimco import Vimco
from dvae_bench.estimators.contract import Claim, Estimate, Estimator, expand_right
from dvae_bench.estimators.control_variates.double_cv import DoubleCv
from dvae_bench.estimators.control_variates.muprop import MuProp
from dvae_bench.estimators.control_variates.relax import Relax
from dvae_bench.estimators.coupled.ar import AugmentReinforce
from dvae_bench.estimators.coupled.arm import Arm
from dvae_bench.estimators.coupled.arms import Arms
from dvae_bench.estimators.coupled.arsm import Arsm
from dvae_bench.estimators.coupled.bitflip import Bitflip
from dvae_bench.estimators.coupled.carms import Carms
from dvae_bench.estimators.coupled.disarm_iw import DisarmIw
from dvae_bench.estimators.enumeration.local_expectation import LocalExpectation
from dvae_bench.estimators.enumeration.stratified import Stratified
from dvae_bench.estimators.enumeration.sum_and_sample import SumAndSample
from dvae_bench.estimators.enumeration.unordered_set import UnorderedSet
from dvae_bench.estimators.latents import Latent, Objective
from dvae_bench.estimators.score_function.greedy_baseline import GreedyBaseline
from dvae_bench.estimators.straight_through.zgr import Zgr
from torch import Generator, Tensor


def changed(cls: type[Estimator], change: Callable[[Tensor, Latent, Any], Tensor]) -> type[Estimator]:
    """The estimator with its `grad` changed, given the latent and the draw."""

    class Changed(cls):  # type: ignore[misc,valid-type]
        def gradient(self, f: Objective, latent: Latent, draw: Any) -> Estimate:
            right = super().gradient(f, latent, draw)
            assert right.grad is not None
            return Estimate(right.value, change(right.grad, latent, draw), right.tuning_loss)

    return Changed


def without_sharpness(grad: Tensor, latent: Latent, draw: Any) -> Tensor:
    """Divided by p (1 - p): the gradient in p passed off as that in the logits."""
    p = latent.params.detach().sigmoid()
    return grad / (p * (1 - p))


class MupropWithoutItsPath(MuProp):
    """The linear control variate subtracted, its mean not added back."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score, mean = f(draw), latent.score(draw[0]), latent.probs.detach().unsqueeze(0).requires_grad_()
        f_mean = f(mean)
        (slope,) = torch.autograd.grad(f_mean.sum(), mean)
        linear = (slope * (draw - mean)).detach().sum(-1)
        return Estimate(f_z.mean(0), expand_right((f_z - f_mean - linear)[0].detach(), score) * score)


class DoubleCvThatSeesItsOwnDraw(DoubleCv):
    """The plain mean in place of the leave-one-out mean."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        advantage = (f_z - f_z.mean(0)).detach()
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).mean(0))


class RelaxWithOneRelaxedValue(Relax):
    """The relaxed evaluations averaged into the value that trains the decoder."""

    def gradient(self, f: Objective, latent: Latent, draw: Any) -> Estimate:
        right = super().gradient(f, latent, draw)
        relaxed = f(latent.relax(draw.free.detach(), self.tau)).mean(0)
        return Estimate(0.5 * (right.value + relaxed), right.grad, right.tuning_loss)


class ArmsUndebiased(Arms):
    """Leave-one-out on antithetic draws without the factor that their coupling asks for."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        advantage = (f_z - f_z.mean(0)).detach() / (self.n - 1)
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).sum(0))


class CarmsUnweighted(Carms):
    """Without the ratio of probabilities of each pair."""

    def sample(self, latent: Latent, generator: Generator | None) -> Any:
        right = super().sample(latent, generator)
        return right._replace(ratio=torch.ones_like(right.ratio))


class DisarmIwUnweighted(DisarmIw):
    """The coupled pair as if drawn apart."""

    def gradient(self, f: Objective, latent: Latent, draw: Any) -> Estimate:
        f_z = f(draw.z)
        difference = (f_z[0] - f_z[1]).detach().unsqueeze(-1).unsqueeze(-1)
        return Estimate(f_z.mean(0), 0.5 * difference * (draw.z[0] - draw.z[1]))


class LeaveOneOutOnStrata(Stratified):
    """The baseline of independent draws on draws that are not."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        advantage = (f_z - f_z.mean(0)).detach() / (self.n - 1)
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).sum(0))


class SumAndSampleWithoutTheRest(SumAndSample):
    """The drawn configuration as if it stood for itself alone, not for the mass of the rest."""

    def sample(self, latent: Latent, generator: Generator | None) -> Any:
        right = super().sample(latent, generator)
        return right._replace(log_weight=latent.log_prob(right.z).detach())


class UnorderedSetAsIfOrdered(UnorderedSet):
    """Plain averages over the set, without R(S, s)."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        advantage = (f_z - f_z.mean(0)).detach() / (len(draw) - 1)
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).sum(0))


class GreedyInTheValue(GreedyBaseline):
    """The greedy evaluation averaged into the value that trains the decoder."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        return Estimate(0.5 * (right.value + f(latent.harden(latent.params).unsqueeze(0))[0]), right.grad)


class BoundWithoutItsPath(Multisample):
    """log q inside the weights detached: the path term -v_k lost."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return super().gradient(f, type(latent)(latent.params.detach()), draw)


class VimcoWithoutItsPath(Vimco):
    """The same, behind VIMCO's baselines."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return super().gradient(f, type(latent)(latent.params.detach()), draw)


class ZgrSaidToBeUnbiased(Zgr):
    """A right method with a wrong claim."""

    def claim(self) -> Claim:
        return Claim()


CUBIC = "bit-table:extension=cubic"
PUBLISHED: dict[str, tuple[type[Estimator], str, dict[str, Any], set[str]]] = {
    "muprop without its path": (MupropWithoutItsPath, "bit-table", {}, {"cut"}),
    "double-cv that sees its own draw": (DoubleCvThatSeesItsOwnDraw, "bit-table", {}, {"cut"}),
    "relax with a relaxed value": (RelaxWithOneRelaxedValue, "bit-table", {}, {"value", "decoder"}),
    "ar with the sign of 1[u > p]": (changed(AugmentReinforce, lambda g, *_: -g), "bit-table", {}, {"cut"}),
    "arm without its half": (changed(Arm, lambda g, *_: 2 * g), "bit-table", {}, {"cut"}),
    "arms without its factor": (ArmsUndebiased, "bit-table", {}, {"cut"}),
    "arsm over 1 in place of C": (changed(Arsm, lambda g, *_: 4 * g), "category-table", {}, {"cut"}),
    "carms unweighted": (CarmsUnweighted, "category-table", {}, {"cut"}),
    "disarm-iw unweighted": (DisarmIwUnweighted, "category-table", {}, {"cut"}),
    "bitflip without D": (changed(Bitflip, lambda g, *_: g / 6), "bit-table", {}, {"cut"}),
    "local expectation in p": (changed(LocalExpectation, without_sharpness), "bit-table", {}, {"cut"}),
    "leave-one-out on strata": (LeaveOneOutOnStrata, "bit-table", {}, {"cut"}),
    "sum and sample without the rest": (SumAndSampleWithoutTheRest, "bit-table", {}, {"value", "cut", "decoder"}),
    "an unordered set as if ordered": (UnorderedSetAsIfOrdered, "bit-table:d=3", {"k": 3}, {"value", "cut", "decoder"}),
    "greedy in the value": (GreedyInTheValue, "bit-table", {}, {"value", "decoder"}),
    "a bound without its path": (BoundWithoutItsPath, "bit:d=4", {}, {"cut"}),
    "vimco without its path": (VimcoWithoutItsPath, "bit-table", {}, {"cut"}),
    "zgr said to be unbiased": (ZgrSaidToBeUnbiased, CUBIC, {}, {"cut"}),
}
