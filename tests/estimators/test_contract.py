"""What every estimator owes its callers, for each kind of latent it is defined for."""

from __future__ import annotations

import math

import pytest
import torch
from dvae_bench.estimators.contract import Estimate, Estimator, splice
from dvae_bench.estimators.latents import LATENTS, Latent, LatentSpec, Objective
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.tuning import Tuner
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

SPECS = {"bernoulli": LatentSpec.bernoulli(4), "categorical": LatentSpec.categorical(2, 3)}
CASES = [
    pytest.param(plugin.load(), kind, id=f"{plugin.name}-{kind}")
    for plugin in ESTIMATORS
    for kind in plugin.facts["latents"]
]
every_estimator = pytest.mark.parametrize(("cls", "kind"), CASES)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def logits(kind: str, *batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*batch, *SPECS[kind].param_shape, generator=seeded(1), dtype=dtype)


def objective(kind: str, dtype: torch.dtype = torch.float64) -> Objective:
    """softplus(W z) summed: nonlinear in z, of any batch shape."""
    weight = torch.randn(math.prod(SPECS[kind].event_shape), 5, generator=seeded(2), dtype=dtype)
    return lambda z: softplus(flat(z, kind) @ weight).sum(-1)


def flat(z: Tensor, kind: str) -> Tensor:
    return z.flatten(-len(SPECS[kind].event_shape))


def build(cls: type[Estimator], kind: str) -> Estimator:
    """In eval(), its running state moved and tuned by a few steps of training."""
    estimator = cls(SPECS[kind]).train()
    tuner, generator = Tuner(estimator, lr=0.05), seeded(3)
    for _ in range(5):
        latent = LATENTS[kind](logits(kind, 8, dtype=torch.float32))
        tuner.step(estimator.estimate(objective(kind, torch.float32), latent, generator).tuning_loss)
    return estimator.eval()


def run(estimator: Estimator, kind: str, params: Tensor, f: Objective | None = None) -> tuple[Estimate, Tensor]:
    """The estimate at these parameters with seed 0, and the gradient that reaches them."""
    leaf = params.detach().requires_grad_()
    latent: Latent = LATENTS[kind](leaf)
    estimate = estimator.estimate(f or objective(kind, params.dtype), latent, seeded())
    (gradient,) = torch.autograd.grad(estimate.spliced(latent).sum(), leaf)
    return estimate, gradient


@every_estimator
@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (2, 1, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_shapes_and_types(cls: type[Estimator], kind: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    params = logits(kind, *batch, dtype=dtype)
    estimate, gradient = run(build(cls, kind), kind, params)
    assert estimate.value.shape == batch
    assert estimate.value.dtype == gradient.dtype == dtype
    if estimate.grad is not None:
        assert estimate.grad.shape == params.shape
        assert estimate.grad.dtype == dtype
        assert not estimate.grad.requires_grad


@every_estimator
def test_params_need_not_be_contiguous(cls: type[Estimator], kind: str) -> None:
    estimator, params = build(cls, kind), logits(kind, 3)
    strided = params.mT.contiguous().mT
    assert not strided.is_contiguous()
    (expected, expected_gradient), (estimate, gradient) = (run(estimator, kind, p) for p in (params, strided))
    torch.testing.assert_close(estimate.value, expected.value)
    torch.testing.assert_close(gradient, expected_gradient)


@every_estimator
def test_the_generator_decides_everything(cls: type[Estimator], kind: str) -> None:
    estimator, params = build(cls, kind), logits(kind, 6)
    first = run(estimator, kind, params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        before = torch.get_rng_state()
        second = run(estimator, kind, params)
        assert torch.equal(before, torch.get_rng_state()), "the global generator has moved"
    assert torch.equal(first[0].value, second[0].value)
    assert torch.equal(first[1], second[1])


@every_estimator
def test_nothing_moves_in_eval(cls: type[Estimator], kind: str) -> None:
    estimator = build(cls, kind)
    before = {key: tensor.clone() for key, tensor in estimator.state_dict().items()}
    for _ in range(3):
        estimate, _ = run(estimator, kind, logits(kind, 6))
        assert estimate.tuning_loss is None
    for key, tensor in estimator.state_dict().items():
        assert torch.equal(tensor, before[key]), key


@every_estimator
def test_training_mode_changes_state_only(cls: type[Estimator], kind: str) -> None:
    """From the same state, train() and eval() give the same estimate."""
    estimator, params = build(cls, kind), logits(kind, 6)
    frozen, frozen_gradient = run(estimator, kind, params)
    moving, moving_gradient = run(estimator.train(), kind, params)
    torch.testing.assert_close(moving.value, frozen.value)
    torch.testing.assert_close(moving_gradient, frozen_gradient)


@every_estimator
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_extreme_logits_stay_finite(cls: type[Estimator], kind: str, mode: bool) -> None:
    """Logits of ±50 in float32."""
    signs = torch.where(logits(kind, 64) > 0, 50.0, -50.0).float()
    estimator = cls(SPECS[kind]).train(mode)
    estimate, gradient = run(estimator, kind, signs)
    assert estimate.value.isfinite().all()
    assert gradient.isfinite().all()
    if estimate.tuning_loss is not None:
        parts = torch.autograd.grad(estimate.tuning_loss, list(estimator.parameters()), allow_unused=True)
        assert all(part.isfinite().all() for part in parts if part is not None)


@every_estimator
def test_one_backward_trains_encoder_and_decoder(cls: type[Estimator], kind: str) -> None:
    spec, x = SPECS[kind], torch.randn(10, 7, generator=seeded(4))
    encoder, decoder = nn.Linear(7, math.prod(spec.param_shape)), nn.Linear(math.prod(spec.event_shape), 7)
    estimator = cls(spec)
    latent = LATENTS[kind](encoder(x).unflatten(-1, spec.param_shape))
    loss = estimator(lambda z: (decoder(flat(z, kind)) - x).square().sum(-1), latent, seeded()).mean()
    loss.backward()
    for module in (encoder, decoder):
        for parameter in module.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0


@every_estimator
def test_tuning_reaches_the_estimator_alone(cls: type[Estimator], kind: str) -> None:
    spec, x = SPECS[kind], torch.randn(10, 7, generator=seeded(4))
    encoder, decoder = nn.Linear(7, math.prod(spec.param_shape)), nn.Linear(math.prod(spec.event_shape), 7)
    estimator = cls(spec)
    before = [parameter.detach().clone() for parameter in estimator.parameters()]
    latent = LATENTS[kind](encoder(x).unflatten(-1, spec.param_shape))
    estimate = estimator.estimate(lambda z: (decoder(flat(z, kind)) - x).square().sum(-1), latent, seeded())
    Tuner(estimator).step(estimate.tuning_loss)
    assert (estimate.tuning_loss is None) == (not before)
    assert all(parameter.grad is None for module in (encoder, decoder) for parameter in module.parameters())
    assert not before or any(
        not torch.equal(parameter, old) for parameter, old in zip(estimator.parameters(), before, strict=True)
    )


@every_estimator
def test_the_value_carries_the_analytic_part_of_f(cls: type[Estimator], kind: str) -> None:
    """f + h(params) adds ∇h to the value's own gradient, whatever z is."""
    leaf = logits(kind, 4).requires_grad_()
    f, site_dims = objective(kind), tuple(range(1, 1 + len(SPECS[kind].param_shape)))

    def seen_by_autograd(g: Objective) -> Tensor:
        value = build(cls, kind).estimate(g, LATENTS[kind](leaf), seeded()).value.sum() + 0 * leaf.sum()
        return torch.autograd.grad(value, leaf)[0]

    added = seen_by_autograd(lambda z: f(z) + leaf.sin().sum(site_dims)) - seen_by_autograd(f)
    torch.testing.assert_close(added, leaf.detach().cos())


def test_splice_refuses_a_gradient_of_another_shape() -> None:
    with pytest.raises(ValueError, match="grad has shape"):
        splice(torch.zeros(3), torch.zeros(3, 2), torch.zeros(3))


def test_splice_is_transparent_forward_and_weights_grad_backward() -> None:
    value, params = torch.tensor([1.0, 2.0], requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    grad = torch.arange(6.0).view(2, 3)
    (splice(value, params, grad) * torch.tensor([10.0, 100.0])).sum().backward()
    assert torch.equal(value.grad, torch.tensor([10.0, 100.0]))
    assert torch.equal(params.grad, grad * torch.tensor([[10.0], [100.0]]))
