"""Estimators that are right but for one fault each; the property `caught_by` must catch it, and no other."""

from __future__ import annotations

import torch
from dvae_bench.estimators.contract import Claim, Estimate, Estimator, expand_right
from dvae_bench.estimators.latents import Latent, LatentSpec, Objective
from dvae_bench.estimators.validation import check_latent, checked
from torch import Generator, Tensor, nn


def reinforce(f: Objective, latent: Latent, z: Tensor) -> Estimate:
    f_z, score = f(z), latent.score(z)
    return Estimate(f_z.mean(0), (expand_right(f_z.detach(), score) * score).mean(0))


class Faulty(Estimator):
    """Abstract: REINFORCE, of categoricals where the fault does not ask for bits."""

    latents = ("categorical",)
    cost = "1 evaluation"
    reference = "planted"

    def claim(self) -> Claim:
        return Claim()

    def sample(self, latent: Latent, generator: Generator | None) -> Tensor:
        return latent.sample(1, generator)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return reinforce(f, latent, draw)


class NoFault(Faulty):
    """Right."""

    name = "no-fault"
    caught_by = ""
    latents = ("bernoulli", "categorical")


class UnknownNameInCost(Faulty):
    """The cost uses m."""

    name = "unknown-name-in-cost"
    caught_by = "facts"
    cost = "m evaluations"


class TakenAlias(Faulty):
    """An alias is another estimator's name."""

    name = "taken-alias"
    caught_by = "facts"
    aliases = ("rloo",)


class WithoutDocstring(Faulty):
    name = "without-docstring"
    caught_by = "facts"


class AnotherLawWithoutTarget(Faulty):
    """Claims another distribution than q, but is judged against E_q f."""

    name = "another-law-without-target"
    caught_by = "facts"

    def claim(self) -> Claim:
        return Claim(target="other-law", unbiased=False)


class OffByAFifth(Faulty):
    """grad is too long."""

    name = "off-by-a-fifth"
    caught_by = "unbiased"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, 1.2 * right.grad)


class DoubledWithoutVariance(Faulty):
    """grad is twice too long, which a claim of no finite variance would hide."""

    name = "doubled-without-variance"
    caught_by = "unbiased"
    latents = ("bernoulli",)

    def claim(self) -> Claim:
        return Claim(finite_variance=False)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, 2 * right.grad)


class VarianceDenied(Faulty):
    """Right, but the claim contradicts its bounded draws."""

    name = "variance-denied"
    caught_by = "unbiased"
    latents = ("bernoulli",)

    def claim(self) -> Claim:
        return Claim(finite_variance=False)


class AnotherDistribution(Faulty):
    """Unbiased for a distribution that it does not state."""

    name = "another-distribution"
    caught_by = "facts"

    def claim(self) -> Claim:
        return Claim(target="other-law")


class RandomnessDenied(Faulty):
    """Claims to draw nothing."""

    name = "randomness-denied"
    caught_by = "determinism"

    def claim(self) -> Claim:
        return Claim(random=False)


class RelaxedInValue(Faulty):
    """A relaxed evaluation leaks into the value."""

    name = "relaxed-in-value"
    caught_by = "value"
    cost = "2 evaluations"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        return Estimate((right.value + f(latent.probs.detach().unsqueeze(0))[0]) / 2, right.grad)


class DecoderAtTheMode(Faulty):
    """f's own parameters get their gradient at the likeliest z; the value is right."""

    name = "decoder-at-the-mode"
    caught_by = "value"
    cost = "2 evaluations"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right, at_mode = reinforce(f, latent, draw), f(latent.harden(latent.params).unsqueeze(0))[0]
        return Estimate(at_mode + (right.value - at_mode).detach(), right.grad)


class BatchBaseline(Faulty):
    """The mean over rows as a baseline."""

    name = "batch-baseline"
    caught_by = "rows"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach() - f_z.detach().mean(), score) * score).mean(0))


class LargeBatchBaseline(Faulty):
    """The mean over rows as a baseline, in batches above 64 only."""

    name = "large-batch-baseline"
    caught_by = "rows"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        baseline = f_z.detach().mean() if f_z.numel() > 64 else 0.0
        return Estimate(f_z.mean(0), (expand_right(f_z.detach() - baseline, score) * score).mean(0))


class SharedNoise(Faulty):
    """All rows are sampled with the same uniforms, which the statistics of the draws suffer from, too."""

    name = "shared-noise"
    latents = ("bernoulli",)

    def sample(self, latent: Latent, generator: Generator | None) -> Tensor:
        p = latent.probs.detach()
        u = torch.rand(p.shape[-1:], generator=generator, dtype=p.dtype, device=p.device)
        return (u < p).to(p.dtype).unsqueeze(0)


class GlobalGenerator(Faulty):
    """Draws from torch's own generator."""

    name = "global-generator"
    caught_by = "determinism"

    def sample(self, latent: Latent, generator: Generator | None) -> Tensor:
        return latent.sample(1, None)


class SinglePrecision(Faulty):
    """The score in float32, whatever the parameters are in."""

    name = "single-precision"
    caught_by = "dtypes"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, right.grad.float())


class NoiseInHalf(Faulty):
    """Uniforms in the dtype of the caller's parameters."""

    name = "noise-in-half"
    caught_by = "dtypes"
    latents = ("bernoulli",)

    def sample(self, latent: Latent, generator: Generator | None) -> Tensor:
        p = latent.probs.detach().to(latent.dtype)
        u = torch.rand((1, *p.shape), generator=generator, dtype=p.dtype, device=p.device)
        return (u < p).to(latent.params.dtype)


class NotInLogSpace(Faulty):
    """The score as the derivative of log p, written with p: 0 / 0 at logits of 50."""

    name = "not-in-log-space"
    caught_by = "dtypes"
    latents = ("bernoulli",)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, p = f(draw), latent.probs.detach()
        score = (draw / p - (1 - draw) / (1 - p)) * p * (1 - p)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach(), score) * score).mean(0))


class TwoBatchDimensions(Faulty):
    """A third batch dimension is flattened away."""

    name = "two-batch-dimensions"
    caught_by = "shapes"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        return Estimate(right.value.flatten(1) if right.value.dim() > 2 else right.value, right.grad)


class MiscountedCost(Faulty):
    """Evaluates twice what it documents."""

    name = "miscounted-cost"
    caught_by = "cost"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f(draw)
        return reinforce(f, latent, draw)


class UndeclaredDifferentiation(Faulty):
    """f is differentiated in z, which is documented in the cost alone."""

    name = "undeclared-differentiation"
    caught_by = "cost"
    cost = "1 evaluation, 1 differentiation"

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return Estimate(f(draw + latent.probs - latent.probs.detach()).mean(0))


class HostSync(Faulty):
    """Reads a number on the host."""

    name = "host-sync"
    caught_by = "device"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        right.value.sum().item()
        return right


class MaskedRows(Faulty):
    """A boolean mask, whose size the host must wait for."""

    name = "masked-rows"
    caught_by = "device"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return reinforce(f, latent, draw[draw >= 0].view_as(draw))


class ConstantOnTheCpu(Faulty):
    """A matrix made on the default device."""

    name = "constant-on-the-cpu"
    caught_by = "device"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, right.grad @ torch.eye(right.grad.shape[-1], dtype=right.grad.dtype))


class IndexOnTheCpu(Faulty):
    """Indices made on the default device, which torch silently copies."""

    name = "index-on-the-cpu"
    caught_by = "device"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return reinforce(f, latent, draw[torch.arange(1)])


class ScalarOnTheCpu(Faulty):
    """A number made a tensor on the default device, which torch silently copies."""

    name = "scalar-on-the-cpu"
    caught_by = "device"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return reinforce(f, latent, draw * torch.tensor(1.0))


class MovesInEval(Faulty):
    """A moving average that gradient() moves, in eval() too."""

    name = "moves-in-eval"
    caught_by = "state"
    total: Tensor

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__(spec)
        self.register_buffer("total", torch.zeros(()))

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        advantage = f_z.detach() - self.total
        self.total = (self.total + 0.1 * advantage.mean()).nan_to_num(0.0, 0.0, 0.0)
        return Estimate(f_z.mean(0), (expand_right(advantage, score) * score).mean(0))


class MovesUnseenInEval(Faulty):
    """The same, out of sight of state_dict()."""

    name = "moves-unseen-in-eval"
    caught_by = "state"

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__(spec)
        self.calls = 0

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        self.calls += 1
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach() - 0.1 * self.calls, score) * score).mean(0))


class Untuned(Faulty):
    """A parameter of its own that nothing tunes."""

    name = "untuned"
    caught_by = "state"

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__(spec)
        self.scale = nn.Parameter(torch.ones(()))


class TuningLeaks(Faulty):
    """The estimator's own parameter is trained by the loss as well as by the tuning loss."""

    name = "tuning-leaks"
    caught_by = "splice"

    def __init__(self, spec: LatentSpec) -> None:
        super().__init__(spec)
        self.scale = nn.Parameter(torch.ones(()))

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        leaking = right.value + self.scale - self.scale.detach()
        return Estimate(leaking, right.grad, (self.scale - 2).square() if self.training else None)


class AnyLatent(Faulty):
    """Its own estimate() asks nothing of the latent."""

    name = "any-latent"
    caught_by = "latent"

    def estimate(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Estimate:
        return self.gradient(checked(f, latent), latent, self.sample(latent, generator))


class AnyObjective(Faulty):
    """Its own estimate() asks nothing of f."""

    name = "any-objective"
    caught_by = "objective"
    latents = ("bernoulli",)

    def estimate(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Estimate:
        check_latent(self.name, self.spec, latent)
        return self.gradient(
            lambda z: f(z.to(latent.dtype)).to(latent.params.dtype), latent, self.sample(latent, generator)
        )


class AnalyticPartLost(Faulty):
    """What f holds of the latent's own parameters gets no gradient."""

    name = "analytic-part-lost"
    caught_by = "splice"

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = reinforce(f, latent, draw)
        if not latent.params.requires_grad:
            return right
        total = right.value.sum() + 0 * latent.params.sum()
        (path,) = torch.autograd.grad(total, latent.params, retain_graph=True)
        return Estimate(right.value - (path * (latent.params - latent.params.detach())).sum((-2, -1)), right.grad)
