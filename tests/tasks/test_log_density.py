"""The likelihood of bounds of many draws against its formula in float64, at logits of all sizes."""

from __future__ import annotations

import pytest
import torch
from dvae_bench.tasks.vae.likelihood import BernoulliPixels
from torch import Tensor
from torch.nn.functional import softplus


def fits(found: Tensor, logits: Tensor, x: Tensor) -> bool:
    """Within rounding: eps √n of the sum of the sizes of the n terms, which torch sums in blocks."""
    pixels, wide = x.double(), logits.double()
    exact, sizes = pixels * wide - softplus(wide), pixels * wide.abs() + softplus(wide)
    error = torch.finfo(torch.float32).eps * logits.shape[-1] ** 0.5 * sizes.sum(-1)
    return bool(((found - exact.sum(-1)).abs() <= error).all())


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("pixels", [784, 200, 7])
@pytest.mark.parametrize("grey", [False, True])
def test_it_is_the_formula_up_to_rounding(scale: float, pixels: int, grey: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(3, 5, pixels, generator=generator)
    x = torch.rand(5, pixels, generator=generator)
    x = x if grey else x.round()
    found = BernoulliPixels().log_density(logits, x)
    assert fits(found, logits, x)
    assert fits(-BernoulliPixels().error(logits, x), logits, x)
    assert not fits(found + logits.relu().sum(-1), logits, x)


def test_its_gradient_is_that_of_the_formula() -> None:
    logits = torch.randn(2, 3, 784, dtype=torch.float64, requires_grad=True)
    x = torch.rand(3, 784, dtype=torch.float64)
    (found,) = torch.autograd.grad(BernoulliPixels().log_density(logits, x).sum(), logits)
    torch.testing.assert_close(found, x.expand_as(logits) - logits.sigmoid().detach())
