"""Latents at the edge: one class, logits of -inf, a thousand classes; and what tuning leaves behind."""

from __future__ import annotations

import math

import pytest
import torch
from dvae_bench.estimators import estimator
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.latents import Bernoulli, Categorical, ExponentialFamily, LatentSpec, Subset, expectation
from dvae_bench.estimators.registry import ESTIMATORS, Plugin
from dvae_bench.estimators.tuning import Tuner
from torch import Generator, Tensor, nn

INF = math.inf
OF = {
    kind: [plugin for plugin in ESTIMATORS.builtin.values() if kind in plugin.facts["latents"]]
    for kind in ("bernoulli", "categorical", "subset")
}
MASKED = {
    "bernoulli": Bernoulli(torch.tensor([0.3, -INF, INF, -1.0])),
    "categorical": Categorical(torch.tensor([[0.2, -INF, 1.0, 0.5], [0.3, -0.2, -INF, -INF]])),
    "subset": Subset(torch.tensor([0.2, -INF, 1.0, 0.5, -INF]), 2),
}
"""Sites that cannot take some of their values."""
every_kind = pytest.mark.parametrize("kind", MASKED)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def f(z: Tensor) -> Tensor:
    return (z - 0.3).flatten(2).square().sum(-1) * (1 + z.flatten(2)[..., 0])


def at(latent: ExponentialFamily, batch: int, dtype: torch.dtype = torch.float32) -> ExponentialFamily:
    return latent.at(latent.params.to(dtype).expand(batch, *latent.params.shape).clone().requires_grad_())


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    ("kind", "plugin"),
    [(kind, plugin) for kind, of in OF.items() for plugin in of],
    ids=lambda x: getattr(x, "name", x),
)
def test_infinite_logits_give_finite_numbers(kind: str, plugin: Plugin, train: bool) -> None:
    """14 of 48 estimators returned NaN where a class is masked out."""
    latent = at(MASKED[kind], 40)
    made = estimator(plugin.name, latent.spec).train(train)
    tuner, generator = Tuner(made), seeded()
    for _ in range(3):
        estimate = made.estimate(f, latent, generator)
        tuner.step(estimate.tuning_loss)
        loss = estimate.spliced(latent)
        (gradient,) = torch.autograd.grad(loss.sum(), latent.params)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()


@every_kind
def test_an_impossible_class_has_no_share(kind: str) -> None:
    """Value and gradient, log-probabilities and KL are those of logits so large that the rest underflows."""
    masked, large = at(MASKED[kind], 1, torch.float64), MASKED[kind].params.clamp(-1000, 1000).to(torch.float64)
    found = []
    for latent in (masked, masked.at(large.unsqueeze(0).requires_grad_())):
        assert isinstance(latent, ExponentialFamily)
        value, kl = expectation(f, latent), latent.kl_to_prior()
        exact = estimator("exact", latent.spec)(f, latent)
        sampled = latent.sample(50, seeded(1))
        numbers = [value, kl, exact, latent.log_prob(sampled)]
        gradients = [torch.autograd.grad(x.sum(), latent.params, retain_graph=True)[0] for x in (value, kl, exact)]
        found.append([sampled, *numbers, *gradients])
    for infinite, finite in zip(*found, strict=True):
        torch.testing.assert_close(infinite, finite)
    impossible = masked.log_prob(masked.support()).exp() == 0
    assert impossible.any()
    assert not impossible.all()


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("sites", [1, 3])
@pytest.mark.parametrize("plugin", OF["categorical"], ids=lambda plugin: plugin.name)
def test_one_class_has_no_gradient(plugin: Plugin, sites: int, train: bool) -> None:
    """`ars-plus`, `carms`, `disarm-tree`, `sum-and-sample` raised torch's words; `measure-valued`'s value was NaN."""
    latent = Categorical(torch.randn(5, sites, 1, generator=seeded()).requires_grad_())
    try:
        made = estimator(plugin.name, latent.spec).train(train)
    except Unsupported:
        return
    loss = made(f, latent, seeded())
    assert loss.isfinite().all()
    if loss.requires_grad and plugin.name != "identity-st":  # which copies the gradient in z, whatever z can be
        (gradient,) = torch.autograd.grad(loss.sum(), latent.params)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)
    if not plugin.facts.get("bound") and estimator(plugin.name, latent.spec).claim().target == "discrete":
        torch.testing.assert_close(loss.detach(), f(torch.ones(1, 5, sites, 1)).squeeze(0))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("arsm", r"1.9 GiB.*take ars-plus"),
        ("arsm-plus", r"1.9 GiB.*take ars-plus"),
        ("carms", r"3.7 GiB.*take coupling=stick-breaking"),
    ],
)
def test_a_thousand_classes_are_too_many_for_all_pairs(name: str, words: str) -> None:
    with pytest.raises(Unsupported, match=rf"{name} on categorical 1x1000 needs {words}"):
        estimator(name, LatentSpec.categorical(1, 1000))
    estimator(name, LatentSpec.categorical(1, 200))


def test_a_thousand_classes_have_estimators() -> None:
    latent = Categorical(torch.zeros(2, 1, 1000))
    for name in ("carms:coupling=stick-breaking", "ars-plus"):
        assert estimator(name, latent.spec)(f, latent, seeded()).isfinite().all()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_lack_of_memory_comes_with_a_hint(error: RuntimeError) -> None:
    def too_large(z: Tensor) -> Tensor:
        raise error

    latent = Categorical(torch.zeros(20, 2, 50))
    with pytest.raises(type(error)) as caught:
        estimator("arsm", latent.spec)(too_large, latent)
    (note,) = caught.value.__notes__
    assert note.startswith("arsm evaluates f at 1226 z of 100 numbers for each of 20 data points: take a smaller batch")


def test_tuning_leaves_no_gradients_behind() -> None:
    """A model's optimizer that holds the estimator clipped the model's gradients by the tuning loss."""
    encoder, rebar = nn.Linear(3, 4), estimator("rebar", LatentSpec.bernoulli(4))
    model, tuner = nn.ModuleList([encoder, rebar]), Tuner(rebar)
    before = [parameter.detach().clone() for parameter in rebar.parameters()]
    estimate = rebar.estimate(lambda z: 1e3 * f(z), latent := Bernoulli(encoder(torch.ones(5, 3))), seeded())
    tuner.step(estimate.tuning_loss)
    estimate.spliced(latent).mean().backward()
    assert all(parameter.grad is None for parameter in rebar.parameters())
    assert not all(map(torch.equal, before, rebar.parameters()))
    own = nn.utils.get_total_norm([p.grad for p in encoder.parameters() if p.grad is not None])
    assert nn.utils.clip_grad_norm_(model.parameters(), 1.0) == own
