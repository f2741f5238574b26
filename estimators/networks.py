"""The small networks of learned baselines and control variates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

LARGEST = 1e6
"""Inputs beyond, such as a logit of -inf, count as this: 0 · ∞ is NaN."""


class Network(nn.Module):
    """Linear layers of the given sizes, [*, sizes[0]] -> [*, sizes[-1]], with an activation between them.

    The initial weights and biases are uniform on ±1/√fan_in, drawn from a fixed seed and so always the same;
    `start_at_zero` sets the last layer, and with it the output, to 0. Computed in the dtype of the input.
    """

    def __init__(self, *sizes: int, activation: Callable[[Tensor], Tensor], start_at_zero: bool = False) -> None:
        super().__init__()
        self.activation = activation
        generator = torch.Generator().manual_seed(0)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(sizes):
            bound = fan_in**-0.5
            self.weights.append(uniform_parameter(fan_out, fan_in, bound=bound, generator=generator))
            self.biases.append(uniform_parameter(fan_out, bound=bound, generator=generator))
        if start_at_zero:
            nn.init.zeros_(self.weights[-1])
            nn.init.zeros_(self.biases[-1])

    def forward(self, x: Tensor) -> Tensor:
        x = x.clamp(-LARGEST, LARGEST)
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            x = self.activation(linear(x, weight.to(x.dtype), bias.to(x.dtype)))
        weight, bias = last
        return linear(x, weight.to(x.dtype), bias.to(x.dtype))


def uniform_parameter(*shape: int, bound: float, generator: Generator) -> nn.Parameter:
    """Uniform on (-bound, bound); drawn on the CPU, so that it is the same on every device."""
    uniform = torch.rand(shape, generator=generator, device="cpu")
    return nn.Parameter(torch.empty(shape).copy_((2 * uniform - 1) * bound))
