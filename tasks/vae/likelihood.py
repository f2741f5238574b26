"""How a decoder's outputs describe the pixels: the reconstruction error, the mean image, and where the bias starts.

bernoulli   -log p(x given z) of pixels that are 1 with probability σ(outputs)
l2          ||σ(outputs) - x||², which is no likelihood
gaussian    -log N(2x - 1; outputs, diag v), a density in nats with its constant, as in the code of Shi et al. 2022
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear, softplus

from ...estimators.latents import Bernoulli
from ...estimators.names import Unsupported

LEAST_VARIANCE, START = 1e-3, -0.5
TOGETHER = 8


class Likelihood(nn.Module, ABC):
    """Abstract. outputs [*, pixels], images x [batch, pixels] in [0, 1]."""

    @abstractmethod
    def error(self, outputs: Tensor, x: Tensor) -> Tensor:
        """[*, batch, pixels] -> [*, batch]."""

    def log_density(self, outputs: Tensor, x: Tensor) -> Tensor:
        """log p(x given z), the same as -error but for rounding; faster where no gradient is taken."""
        return -self.error(outputs, x)

    def log_density_at(self, x: Tensor, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
        """h [*, batch, hidden] -> `log_density` at outputs weight h + bias; for bounds of many draws."""
        return lambda h: self.log_density(linear(h, weight, bias), x)

    def means(self, outputs: Tensor) -> Tensor:
        """The mean image, in [0, 1]."""
        return outputs.sigmoid()

    def sample(self, outputs: Tensor, generator: Generator | None) -> Tensor:
        """An image each, without gradients. Raises Unsupported where the error is no likelihood."""
        raise Unsupported("the squared distance is no likelihood, so that no image can be drawn")

    @torch.no_grad()
    def start(self, bias: Tensor, mean: Tensor) -> None:
        """Let the output bias of a decoder give the mean image, both [pixels]."""
        bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))


class BernoulliPixels(Likelihood):
    def error(self, outputs: Tensor, x: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(outputs, x.expand_as(outputs), reduction="none").sum(-1)

    def log_density(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Σ x l - softplus(l)."""
        return (x * outputs).sum(-1) - _softplus_(outputs.clone())

    def log_density_at(self, x: Tensor, weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
        """Of a black and white image, Σ log σ(±l), a pass or two fewer over the pixels than Σ x l - softplus(l)."""
        general = super().log_density_at(x, weight, bias)
        if not torch.equal(x, x.round()):
            return general
        sign, least = 2 * x - 1, torch.finfo(x.dtype).tiny

        def log_density(h: Tensor) -> Tensor:
            p = linear(h, weight, bias).mul_(sign).sigmoid_().unflatten(-1, (_together(x), -1)).prod(-2)
            return p.log_().sum(-1) if p.amin() >= least else general(h)

        return log_density

    def sample(self, outputs: Tensor, generator: Generator | None) -> Tensor:
        return Bernoulli(outputs).sample(1, generator)[0]


def _softplus_(outputs: Tensor) -> Tensor:
    """Σ softplus(l) with softplus(l) = max(l, 0) - log σ(|l|). The outputs are overwritten.

    The σ(|l|), at least ½, are multiplied TOGETHER at a time before the logarithm is taken, which costs more than all
    else.
    """
    positive = outputs.relu().sum(-1)
    factors = outputs.abs_().sigmoid_().unflatten(-1, (_together(outputs), -1)).prod(-2)
    return positive - factors.log().sum(-1)


def _together(pixels: Tensor) -> int:
    return math.gcd(TOGETHER, pixels.shape[-1])


class Distance(Likelihood):
    def error(self, outputs: Tensor, x: Tensor) -> Tensor:
        return (outputs.sigmoid() - x).square().sum(-1)


class GaussianPixels(Likelihood):
    """Pixels 2x - 1 in [-1, 1] about the decoder's outputs. log p of x itself is greater by `pixels` log 2.

    variance: that of every pixel; with 0 each pixel has its own, learned as max(softplus(b), LEAST_VARIANCE) with b
    from START. Without this floor, a pixel that is the same in all images would have an unbounded density.
    """

    fixed: Tensor

    def __init__(self, pixels: int, variance: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("fixed", torch.full((pixels,), variance), persistent=False)
        self.b = None if variance else nn.Parameter(torch.full((pixels,), START))

    @property
    def variance(self) -> Tensor:
        """v, [pixels]."""
        return self.fixed if self.b is None else softplus(self.b).clamp_min(LEAST_VARIANCE)

    def error(self, outputs: Tensor, x: Tensor) -> Tensor:
        squared = (2 * x - 1 - outputs).square()
        return (squared / self.variance).sum(-1) / 2 + (2 * math.pi * self.variance).log().sum() / 2

    def means(self, outputs: Tensor) -> Tensor:
        return ((outputs + 1) / 2).clamp(0, 1)

    @torch.no_grad()
    def sample(self, outputs: Tensor, generator: Generator | None) -> Tensor:
        noise = torch.randn(outputs.shape, dtype=outputs.dtype, device=outputs.device, generator=generator)
        return (outputs + self.variance.sqrt() * noise + 1) / 2

    @torch.no_grad()
    def start(self, bias: Tensor, mean: Tensor) -> None:
        bias.copy_(2 * mean - 1)


def make_likelihood(name: str, pixels: int, variance: float = 0.0) -> Likelihood:
    """The likelihood of this name. variance: that of gaussian."""
    if name == "gaussian":
        return GaussianPixels(pixels, variance)
    return Distance() if name == "l2" else BernoulliPixels()
