"""Gradient draws of a model on one minibatch, at the logits and in the encoder, and the reference for their bias."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ....estimators import estimator as build
from ....estimators.contract import Estimator
from ....estimators.counting import CountedObjective
from ....tasks.vae.latent_model import LatentModel
from ....tasks.vae.speed import in_float32
from ...statistics.intervals import Quantity, relative_bias_between
from ..gradient import draw_gradient, model_problem

TOGETHER, AT_A_TIME = 10_000_000, 16
REFERENCES = dict.fromkeys(("bernoulli", "categorical", "subset", "sequence"), "rloo:n=4") | {"continuous": "pathwise"}
"""Unbiased estimators of low variance, whose long mean stands for the exact gradient where none is known."""
DEEP_REFERENCES = {"bernoulli": "disarm", "categorical": "rloo"}
"""The same for several layers, where the evaluations of the layers multiply: each makes two per layer."""


def logits_draws(vae: LatentModel, estimator: Estimator, x: Tensor, draws: int, generator: Generator) -> Tensor:
    """Draws of the logits gradient for the mean loss of minibatch x, without the loss's analytic part.

    Returns [draws, batch, *param_shape], for the first layer; deeper layers are drawn inside f. The first draw is made
    alone and its evaluations are counted. From then on, as many draws are made together as evaluate f on about TOGETHER
    pixels, to bound the memory.
    """
    problem, params = model_problem(vae, x), vae.encode(x).detach()
    parts: list[Tensor] = []
    together = 1
    while (made := sum(map(len, parts))) < draws:
        replicates = params.expand(min(together, draws - made), *params.shape).requires_grad_()
        counted = CountedObjective()
        drawn = draw_gradient(problem, estimator, replicates, generator, estimator.lower(generator), counted.watch)
        (gradient,) = torch.autograd.grad(drawn.value.sum(), replicates)
        parts.append(gradient / len(x))
        together = max(1, TOGETHER // (max(1, counted.evaluations // len(replicates)) * x.numel()))
    return torch.cat(parts)


def encoder_draws(vae: LatentModel, x: Tensor, at_logits: Tensor) -> Tensor:
    """Draws of the logits gradient [draws, batch, *param_shape] backpropagated to the encoder, [draws, parameters]."""
    gradients = torch.autograd.grad(vae.encode(x), list(vae.encoder.parameters()), at_logits, is_grads_batched=True)
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1)


def squared_distances(draws: Tensor) -> Tensor:
    """||g - mean||² n/(n - 1) of each draw g of [n, ...], [n]; their mean is the total variance."""
    flat = draws.flatten(1)
    return (flat - flat.mean(0)).square().sum(1) * (len(flat) / (len(flat) - 1))


def reference_draws(vae: LatentModel, x: Tensor, draws: int, generator: Generator) -> Tensor | None:
    """Draws of the logits gradient by the reference for this kind of latent; None when there is no reference, as for
    smoothed bits, which each estimator draws from a distribution of its own.

    [draws, batch, *param_shape], in float32, so that a comparison shows the error of training in bfloat16.
    """
    if vae.smoothed or vae.spec.kind not in REFERENCES:
        return None
    name = REFERENCES[vae.spec.kind] if len(vae.layers) == 1 else DEEP_REFERENCES[vae.spec.kind]
    reference = build(name, *vae.layers).eval()
    with in_float32(vae):
        return torch.cat([logits_draws(vae, reference, x, AT_A_TIME, generator) for _ in range(draws // AT_A_TIME)])


def relative_bias(draws: Tensor, reference: Tensor) -> Quantity:
    """||E g - E r|| / ||E r|| from draws g and reference draws r, both [draws, ...]; see `relative_bias_between`."""
    return relative_bias_between(draws.flatten(1).cpu().numpy(), reference.flatten(1).cpu().numpy())
