"""log p(x given z) of many draws against the decoder itself: in float64, and in float32 within rounding."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from dvae_bench.estimators.latents import LatentSpec, latent_at
from dvae_bench.tasks.vae import many_draws as module
from dvae_bench.tasks.vae.likelihood import BernoulliPixels, make_likelihood
from dvae_bench.tasks.vae.many_draws import many_draws
from dvae_bench.tasks.vae.model import mlp
from torch import Tensor, nn

PIXELS, DRAWS, IMAGES = 28, 5, 3
SPECS = {
    "bits": LatentSpec.bernoulli(6),
    "sites of 2 classes": LatentSpec.categorical(4, 2),
    "sites of 5 classes": LatentSpec.categorical(3, 5),
    "gaussian": LatentSpec.continuous("gaussian", 3, 2),
}
NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "linear": ((), nn.Tanh),
    "tanh": ((7, 9), nn.Tanh),
    "one hidden layer": ((7,), nn.Tanh),
    "leaky relu": ((7, 9), nn.LeakyReLU),
}


def system(spec: LatentSpec, network: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A decoder with weights of size 1, images, and hard draws."""
    torch.manual_seed(0)
    hidden, activation = NETWORKS[network]
    decoder = mlp(math.prod(spec.event_shape), *hidden, PIXELS, activation=activation).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter)
    z = latent_at(spec, torch.randn(IMAGES, *spec.param_shape, dtype=torch.float64)).sample(DRAWS, None)
    return decoder, torch.rand(IMAGES, PIXELS, dtype=torch.float64), z


def both(spec: LatentSpec, network: str, likelihood: str = "bernoulli", grey: bool = True) -> tuple[Tensor, Tensor]:
    """log p(x given z) by `many_draws`, and by the decoder."""
    decoder, x, z = system(spec, network)
    x = x if grey else x.round()
    pixels = make_likelihood(likelihood, PIXELS, 0.3).double()
    with torch.no_grad():
        found = many_draws(decoder, pixels, spec, x)(z)
        return found, -pixels.error(decoder(z.flatten(-len(spec.event_shape))), x)


@pytest.mark.parametrize("grey", [True, False], ids=["grey", "black and white"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_it_is_the_decoders(spec: LatentSpec, network: str, likelihood: str, grey: bool) -> None:
    found, expected = both(spec, network, likelihood, grey)
    assert found.shape == (DRAWS, IMAGES)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("part", "wrong", "spec", "network"),
    [
        ("_folded", lambda decoder: tanh_as_sigmoid(decoder), "bits", "tanh"),
        ("_first", lambda spec, weight, bias: next_class(spec, weight, bias), "sites of 5 classes", "leaky relu"),
        ("_first", lambda spec, weight, bias: next_class(spec, weight, bias), "sites of 2 classes", "leaky relu"),
    ],
)
def test_a_wrong_part_is_caught(
    part: str, wrong: Callable, spec: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, part, wrong)
    found, expected = both(SPECS[spec], network)
    assert not torch.isclose(found, expected).any()


def tanh_as_sigmoid(decoder: nn.Sequential) -> list:
    """Without the factors that make tanh of σ."""
    functions = [Tensor.sigmoid_] * (len(decoder) // 2) + [nn.Identity()]
    return [(layer.weight, layer.bias, function) for layer, function in zip(decoder[::2], functions, strict=True)]


def next_class(spec: LatentSpec, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """Each site picks the row of the class after its own."""
    return lambda z: nn.functional.linear(z.roll(1, -1).flatten(-len(spec.event_shape)), weight, bias)


@pytest.mark.parametrize("grey", [True, False], ids=["grey", "black and white"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_pixels_stay_within_rounding(scale: float, grey: bool) -> None:
    """eps √n of the sum of the sizes of the n terms, W h and b apart, at outputs from 0.1 to 1,000."""
    torch.manual_seed(0)
    weight, bias, h = scale * torch.randn(784, 200), scale * torch.randn(784), torch.rand(DRAWS, IMAGES, 200)
    x = torch.rand(IMAGES, 784)
    x = x if grey else x.round()
    found = BernoulliPixels().log_density_at(x, weight, bias)(h).double()
    weight, bias, h, x = weight.double(), bias.double(), h.double(), x.double()
    exact = -BernoulliPixels().error(nn.functional.linear(h, weight, bias), x)
    sizes = nn.functional.linear(h.abs(), weight.abs(), bias.abs()).sum(-1) + exact.abs()
    error = torch.finfo(torch.float32).eps * 784**0.5 * sizes
    assert ((found - exact).abs() <= error).all()
    assert ((found - exact + x @ bias).abs() > error).all(), "without the bias it would be seen"


@pytest.mark.parametrize("output", [-5.0, -12.0, -200.0])
def test_a_product_too_small_for_a_float_is_not_taken(output: float) -> None:
    """Pixels of probability e^output: eight of them are a float of full precision, a subnormal one, none."""
    x, h = torch.ones(IMAGES, 784), torch.zeros(DRAWS, IMAGES, 1)
    found = BernoulliPixels().log_density_at(x, torch.zeros(784, 1), torch.full((784,), output))(h)
    torch.testing.assert_close(found, torch.full((DRAWS, IMAGES), 784 * (output - math.log1p(math.exp(output)))))
