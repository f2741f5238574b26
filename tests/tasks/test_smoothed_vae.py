"""DVAE#'s loss of smoothed bits under a small RBM: its value against sums over every z, its gradient by quadrature.

The nodes of the smoothings' own quadrature take E f(ζ) and its derivatives to PRECISION.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from dvae_bench.bench.sources.timing.timing import timed_steps
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators import quadrature
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.latents import Bernoulli, LatentSpec
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.quadrature import nodes
from dvae_bench.estimators.smoothing.overlapping import Draw, Overlapping
from dvae_bench.tasks.vae import mnist_task
from dvae_bench.tasks.vae.architectures import Architecture
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from dvae_bench.tasks.vae.mean_field import mean_field
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.smoothed_vae import SmoothedVae
from tiny import TRAINING
from torch import Tensor
from torch.distributions import MultivariateNormal

BETA, PRECISION = 8.0, 1e-5
Z_MAX = 5.0
"""Of a standard normal, exceeded once in 1.7 million, at a fixed seed."""
SMOOTHINGS = ("dvaes-gaussian:beta=8", "dvaepp-exp", "dvaepp-power:beta=8", "dvaes-uniform-exp")
X = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)


def model(density: str, left: int = 2, right: int = 1) -> SmoothedVae:
    torch.manual_seed(0)
    rbm, bits = partial(Boltzmann, left, right, "exact"), LatentSpec.bernoulli(left + right)
    made = SmoothedVae(Architecture((bits,)), torch.rand(len(X)), boltzmann=rbm, density=density).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def smoothing(name: str, made: SmoothedVae) -> Overlapping:
    found = build(name, made.spec)
    assert isinstance(found, Overlapping)
    return found


def bits_of(made: SmoothedVae) -> Bernoulli:
    logits = torch.randn(made.spec.event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Bernoulli(logits.requires_grad_())


def zetas(made: SmoothedVae, count: int = 20) -> Tensor:
    return torch.rand(count, *made.spec.event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def every(bits: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=bits)), dtype=torch.float64)


def joint(made: SmoothedVae, zeta: Tensor, log_r: Tensor) -> Tensor:
    """log p(z, ζ) of every z in the last dimension; under mean-field, p(ζ given z) is the r of q."""
    sizes, z = made.boltzmann.sizes, every(made.boltzmann.bias.numel())
    log_p = made.boltzmann.neg_energy(z).log_softmax(0)
    if made.density == "mean-field":
        off, on = log_r.unsqueeze(-2)
        return log_p + (off + z * (on - off)).sum(-1)
    corner = torch.zeros(sum(sizes), sum(sizes), dtype=torch.float64)
    corner[: sizes[0], sizes[0] :] = made.boltzmann.weight
    precision = corner + corner.T + BETA * torch.eye(sum(sizes))
    return log_p + MultivariateNormal(z, precision_matrix=precision).log_prob(zeta.unsqueeze(-2))


def at_means(made: SmoothedVae, log_p: Tensor, log_r: Tensor) -> Tensor:
    """Σ_z μ(z) log p(z, ζ) + H(μ), with the mean-field means μ of independent bits."""
    with torch.no_grad():
        means = mean_field(made.boltzmann.bias + log_r[1] - log_r[0], made.boltzmann.weight)
    m = means.unsqueeze(-2)
    mu = torch.where(every(means.shape[-1]) > 0, m, 1 - m).prod(-1)
    return (mu * log_p).sum(-1) + (torch.special.entr(means) + torch.special.entr(1 - means)).sum(-1)


def losses(made: SmoothedVae, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """f + log Z at some ζ; -log p(x given ζ) + log q(ζ given x) - log p(ζ) by sums over every z, and with the bound on
    log p(ζ) of `at_means`."""
    estimator, latent, zeta = smoothing(name, made), bits_of(made), zetas(made)
    ours = made.objective(X, latent, smoothing=estimator)(zeta) + made.regulariser(latent)
    off, on = log_r = estimator.log_r(zeta)
    z, log_p = every(zeta.shape[-1]), joint(made, zeta, log_r)
    log_q = (latent.log_prob(z) + (off.unsqueeze(-2) + z * (on - off).unsqueeze(-2)).sum(-1)).logsumexp(-1)
    rest = made.reconstruction(X, zeta) + log_q
    return ours, rest - log_p.logsumexp(-1), rest - at_means(made, log_p, log_r)


def assert_same(made: SmoothedVae, ours: Tensor, exact: Tensor) -> None:
    """Values at each ζ, and the gradients of their sums in the decoder, b and W, but for rounding."""
    torch.testing.assert_close(ours, exact)
    wanted = [*made.decoder.parameters(), *made.prior_parameters()]
    pairs = (torch.autograd.grad(loss.sum(), wanted, retain_graph=True) for loss in (ours, exact))
    for mine, other in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, other)
        assert other.abs().max() > 0


@pytest.mark.parametrize(("left", "right"), [(2, 1), (2, 2), (1, 3)])
def test_under_the_gaussian_integral_loss_and_gradients_are_the_sums_over_every_z(left: int, right: int) -> None:
    made = model("gaussian-integral", left, right)
    ours, exact, _ = losses(made, SMOOTHINGS[0])
    assert_same(made, ours, exact)
    ours, exact, _ = losses(made, "dvaes-gaussian:beta=9")
    with pytest.raises(AssertionError):  # another λ than that of the estimator
        torch.testing.assert_close(ours, exact)


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_under_mean_field_the_loss_is_an_upper_bound_that_is_tight_without_couplings(name: str) -> None:
    """And so are the gradients: those of the bound with fixed μ, and the exact ones where μ is the posterior."""
    made = model("mean-field")
    ours, exact, bound = losses(made, name)
    assert (ours > exact).all() and (ours - exact).max() > 1e-4
    assert_same(made, ours, bound)
    with torch.no_grad():
        made.boltzmann.weight.zero_()
    ours, exact, _ = losses(made, name)
    assert_same(made, ours, exact)


def test_large_betas_leave_the_loss_of_the_bits() -> None:
    """KL(q(ζ) || p(ζ)) grows to KL(q(z) || p(z)) as the two modes part."""
    made = model("mean-field", 1, 1)
    latent = bits_of(made)
    closed = made.kl_to_prior(latent)

    def smoothed(beta: int) -> Tensor:
        estimator = smoothing(f"dvaes-gaussian:beta={beta}", made)
        f = made.objective(X, latent, smoothing=estimator)
        kl = estimator.relaxed_target(lambda zeta: f(zeta) - made.reconstruction(X, zeta), latent)
        assert kl is not None
        return kl + made.regulariser(latent)

    gaps = [float((closed - smoothed(beta)).detach()) for beta in (20, 60, 200)]
    assert gaps[0] > gaps[1] > gaps[2] and abs(gaps[2]) < 1e-3 * float(closed.detach())


def mean_gradient(made: SmoothedVae, name: str, f: Callable[[Tensor], Tensor], latent: Bernoulli) -> Tensor:
    """The estimator's gradient, averaged over every pair of bits and every pair of nodes."""
    s, weight = nodes(latent.params, smoothing(name, made).breaks)
    bits = every(2)
    pairs = torch.cartesian_prod(torch.arange(len(s)), torch.arange(len(s)))
    weights = latent.log_prob(bits).exp().detach().unsqueeze(-1) * weight[pairs].prod(-1)
    params = latent.params.expand(*weights.shape, 2)
    draw = Draw(bits.unsqueeze(1).expand(1, *weights.shape, 2), s[pairs].expand(1, *weights.shape, 2))
    values = smoothing(name, made).gradient(f, Bernoulli(params), draw).value
    return torch.autograd.grad((weights * values).sum(), latent.params)[0]


@pytest.mark.parametrize(
    ("density", "name"),
    [("gaussian-integral", SMOOTHINGS[0]), *(("mean-field", name) for name in SMOOTHINGS)],
)
def test_the_mean_gradient_is_that_of_the_expected_loss(
    density: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The expected loss keeps φ in log q; the estimator's f does not. Without log q the gradient is another."""
    monkeypatch.setattr(quadrature, "NODES", 121)  # log q bends more than what the usual 57 are for
    made = model(density, 1, 1)
    estimator, latent = smoothing(name, made), bits_of(made)

    def log_q(zeta: Tensor, p: Tensor) -> Tensor:
        off, on = estimator.log_r(zeta)
        return torch.logaddexp((1 - p).log() + off, p.log() + on).sum(-1)

    def attached(zeta: Tensor) -> Tensor:
        return f(zeta) + log_q(zeta, latent.probs) - log_q(zeta, latent.probs.detach())

    f = made.objective(X, latent, smoothing=estimator)
    expected_loss = estimator.relaxed_target(attached, latent)
    assert expected_loss is not None
    (exact,) = torch.autograd.grad(expected_loss, latent.params)
    torch.testing.assert_close(mean_gradient(made, name, f, latent), exact, rtol=PRECISION, atol=0)
    wrong = mean_gradient(made, name, lambda zeta: f(zeta) - log_q(zeta, latent.probs.detach()), latent)
    assert (wrong - exact).norm() > 30 * PRECISION * exact.norm()


class TestMnist:
    VALUES: dict[str, Any] = {"arch": "linear", "n": 12, "left": 4, "batch": 16, "prior": "rbm"}

    @pytest.mark.parametrize(
        ("kl", "name"),
        [("gaussian-integral", "dvaes-gaussian"), ("mean-field", "dvaepp-power"), ("mean-field", "dvaepp-exp")],
    )
    def test_it_trains_and_is_evaluated_on_bits(self, kl: str, name: str) -> None:
        task = MnistVae(**self.VALUES, kl=kl, lr=0.005)
        basket = ("rloo", "dvaes-gaussian")
        settings = replace(TRAINING, steps=90, images=100, basket=basket, reference_draws=16)
        first, *_, point = train(task, build(name, *task.layers), settings, 0, lambda fraction: None)
        rise = point.metrics["elbo_test"] - first.metrics["elbo_test"]
        assert rise.mean() > Z_MAX * rise.std(ddof=1) / len(rise) ** 0.5
        assert "var_cut" in point.metrics and "bias_reference" not in point.metrics
        assert "is none" in point.basket["rloo"] and "var_cut" in point.basket["dvaes-gaussian"]

    def test_its_kl_at_evaluations_is_that_of_the_bits(self) -> None:
        task = MnistVae(**self.VALUES)
        x = task.evaluation_images(task.test, 5)
        models = [MnistVae(**self.VALUES, kl=kl).model(0) for kl in ("analytic", "mean-field")]
        kls = [each.divergence(*each.sample_posterior(x, 1, torch.Generator().manual_seed(0))) for each in models]
        assert torch.equal(*kls)

    def test_other_estimators_and_settings_are_refused(self) -> None:
        for kl, name in (("mean-field", "rloo"), ("mean-field", "smoothing"), ("gaussian-integral", "dvaepp-exp")):
            task = MnistVae(**self.VALUES, kl=kl)
            estimator = build(name, *task.layers)
            with pytest.raises(Unsupported, match=f"kl={kl} is of smoothed bits: it needs .* and {name} is none"):
                train(task, estimator, TRAINING, 0, lambda fraction: None)
            with pytest.raises(Unsupported, match="is of smoothed bits"):
                timed_steps(task, estimator, 0)
        for values in ({"groups": 2}, {"prior": "fixed", "left": 0}):
            with pytest.raises(UsageError, match="add prior=rbm and groups=1"):
                MnistVae(**self.VALUES | values, kl="mean-field")

    def test_a_captured_step_cannot_look_at_w(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mnist_task, "check_speed", lambda *_: None)  # there may be no CUDA device here
        with pytest.raises(UsageError, match="drop cuda_graphs"):
            MnistVae(**self.VALUES, kl="gaussian-integral", cuda_graphs="yes")

    def test_couplings_that_outgrow_lambda_end_with_the_sentence(self) -> None:
        task = MnistVae(**self.VALUES, kl="gaussian-integral")
        model = task.model(0)
        with torch.no_grad():
            model.boltzmann.weight.fill_(10.0)
        x = task.evaluation_images(task.test, 2)
        latent = model.latent(model.encode(x))
        f = model.objective(x, latent, smoothing=build("dvaes-gaussian", *task.layers))
        with pytest.raises(UsageError, match="above the largest singular value of W"):
            f(latent.sample(1, None))
