"""Splicing a value and a gradient that autograd cannot see, and what the contract does by itself; what estimators owe
is in test_conformance.py.
"""

from __future__ import annotations

import pytest
import torch
from dvae_bench.estimators import estimator
from dvae_bench.estimators.contract import Claim, Estimate, Estimator, splice
from dvae_bench.estimators.latents import Bernoulli, LatentSpec, Objective
from torch import Tensor, nn


def test_splice_refuses_a_gradient_of_another_shape() -> None:
    with pytest.raises(ValueError, match="grad has shape"):
        splice(torch.zeros(3), torch.zeros(3, 2), torch.zeros(3))


def test_splice_is_transparent_forward_and_weights_grad_backward() -> None:
    value, params = torch.tensor([1.0, 2.0], requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    grad = torch.arange(6.0).view(2, 3)
    (splice(value, params, grad) * torch.tensor([10.0, 100.0])).sum().backward()
    assert torch.equal(value.grad, torch.tensor([10.0, 100.0]))
    assert torch.equal(params.grad, grad * torch.tensor([[10.0], [100.0]]))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rloo:n=4", "rloo:n=4"),
        ("leave-one-out:n=2", "rloo"),
        ("vq-gumbel:tau=1", "vq-gumbel:tau=1.0"),
        ("mve:temp=2,rate=0.1", "mve:rate=0.1,temp=2.0"),
        ("rebar", "rebar"),
    ],
)
def test_an_estimator_shows_its_name(name: str, shown: str) -> None:
    made = estimator(name, LatentSpec.encodings(2, 2, 4) if name.startswith("vq") else LatentSpec.bernoulli(3))
    assert repr(made) == str(made) == shown
    assert f": {shown}" in repr(nn.ModuleDict({"gradient": made}))


def test_layers_show_their_names() -> None:
    layers = estimator("rloo:n=4", LatentSpec.bernoulli(3), LatentSpec.bernoulli(2))
    assert repr(layers) == "Layered(rloo:n=4, rloo:n=4)"


class Short(Estimator):
    """g = f(z) ∇ log q(z), its claim and its draws left to the contract."""

    name = "short"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "a test"

    def gradient(self, f: Objective, latent: Bernoulli, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (f_z.detach().unsqueeze(-1) * score).mean(0))


class ThreeDraws(Short):
    n = 3
    cost = "3 evaluations"


class AsMany(Short):
    hyperparameters = {"n": {"default": 2, "min": 1}}
    cost = "n evaluations"


CASES = [(Short, {}, 1), (ThreeDraws, {}, 3), (AsMany, {}, 2), (AsMany, {"n": 5}, 5)]


@pytest.mark.parametrize(("cls", "values", "n"), CASES)
def test_by_default_it_claims_no_bias_and_draws_n_z(cls: type[Short], values: dict[str, int], n: int) -> None:
    made, latent = cls(LatentSpec.bernoulli(4), **values), Bernoulli(torch.zeros(7, 4))
    assert made.claim() == Claim(target="discrete", unbiased=True, finite_variance=True)
    draws = [draw(n, torch.Generator().manual_seed(0)) for draw in (latent.sample, lambda n, g: made.sample(latent, g))]
    assert draws[0].shape == (n, 7, 4) and torch.equal(*draws)
    assert made(lambda z: z.sum(-1), latent).shape == (7,)
