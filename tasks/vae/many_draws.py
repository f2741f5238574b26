"""log p(x given z) at thousands of draws: the decoder's own function, in an order in which little but products is left.

classes   a one-hot site picks a row of the first matrix; of two classes, the second adds the difference of its rows
tanh      tanh a = 2 σ(2 a) - 1 with the factors inside the matrices: torch's σ takes a tenth of the time of its tanh
pixels    those of a black and white image have the probability σ(l) or σ(-l): eight are multiplied before a logarithm
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear

from ...estimators.latents import LatentSpec
from .likelihood import Likelihood

Function = Callable[[Tensor], Tensor]


def many_draws(decoder: nn.Sequential, likelihood: Likelihood, spec: LatentSpec, x: Tensor) -> Function:
    """hard z [n, batch, *event] -> log p(x given z), [n, batch], of images x [batch, pixels]; the same as
    -likelihood.error(decoder(z), x) but for rounding. decoder: linear layers with an activation between them.
    """
    *hidden, (weight, bias, _) = _folded(decoder)
    density = likelihood.log_density_at(x, weight, bias)
    if not hidden:
        return lambda z: density(z.flatten(-len(spec.event_shape)))
    (weight, bias, activation), *deeper = hidden
    first = _first(spec, weight, bias)

    def log_likelihood(z: Tensor) -> Tensor:
        h = activation(first(z))
        for matrix, offset, function in deeper:
            h = function(linear(h, matrix, offset))
        return density(h)

    return log_likelihood


def _folded(decoder: nn.Sequential) -> list[tuple[Tensor, Tensor, Function]]:
    """Matrix, bias and activation of every layer, σ in place of tanh."""
    layers: list[tuple[Tensor, Tensor, Function]] = []
    scale, shift = 1.0, 0.0  # the layer before gives h, and its activation would be scale * h + shift
    modules = list(decoder)
    for layer, activation in zip(modules[::2], [*modules[1::2], nn.Identity()], strict=True):
        assert isinstance(layer, nn.Linear)
        weight, bias = scale * layer.weight, layer.bias + shift * layer.weight.sum(1)
        if isinstance(activation, nn.Tanh):
            layers.append((2 * weight, 2 * bias, Tensor.sigmoid_))
            scale, shift = 2.0, -1.0
        else:
            layers.append((weight, bias, activation))
            scale, shift = 1.0, 0.0
    return layers


def _first(spec: LatentSpec, weight: Tensor, bias: Tensor) -> Function:
    """weight z + bias, [*, out], at hard z [*, *event]."""
    if spec.kind != "categorical":
        return lambda z: linear(z, weight, bias)
    sites, classes = spec.event_shape
    rows = weight.T.unflatten(0, (sites, classes))
    if classes == 2:
        difference, none = (rows[:, 1] - rows[:, 0]).T.contiguous(), bias + rows[:, 0].sum(0)
        return lambda z: linear(z[..., 1], difference, none)
    table, number = rows.flatten(0, 1).contiguous(), torch.arange(classes, dtype=weight.dtype, device=weight.device)
    start = classes * torch.arange(sites, device=weight.device)

    def picked(z: Tensor) -> Tensor:
        drawn = (z * number).sum(-1).long() + start
        return embedding_bag(drawn.flatten(0, -2), table, mode="sum").add_(bias).unflatten(0, drawn.shape[:-1])

    return picked
