"""Gradient draws of a model on one minibatch, at the cut and in the encoder, and what they are held against."""

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
REFERENCES = {"bernoulli": "rloo:n=4", "categorical": "rloo:n=4", "continuous": "pathwise"}
"""Whose long mean stands for the exact gradient where none is known: unbiased, and of low variance."""
DEEP_REFERENCE = "disarm"
"""The same where there are several layers, in which evaluations multiply: it makes two in each."""


def logits_draws(vae: LatentModel, estimator: Estimator, x: Tensor, draws: int, generator: Generator) -> Tensor:
    """Gradient of the mean loss of minibatch x at the cut, without its analytic part, [draws, batch, *param_shape].

    The cut is that of the first layer; the others are drawn inside f. As many draws at a time as evaluate f on about
    TOGETHER pixels, after a first one alone that counts.
    """
    problem, params = model_problem(vae, x), vae.encode(x).detach()
    parts: list[Tensor] = []
    together = 1
    while (made := sum(map(len, parts))) < draws:
        rows = params.expand(min(together, draws - made), *params.shape).requires_grad_()
        counted = CountedObjective()
        drawn = draw_gradient(problem, estimator, rows, generator, estimator.lower(generator), counted.watch)
        (cut,) = torch.autograd.grad(drawn.value.sum(), rows)
        parts.append(cut / len(x))
        together = max(1, TOGETHER // (max(1, counted.evaluations // len(rows)) * x.numel()))
    return torch.cat(parts)


def encoder_draws(vae: LatentModel, x: Tensor, cut: Tensor) -> Tensor:
    """Cut gradients [draws, batch, *param_shape] carried to the encoder's parameters, [draws, parameters]."""
    gradients = torch.autograd.grad(vae.encode(x), list(vae.encoder.parameters()), cut, is_grads_batched=True)
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1)


def squared_distances(draws: Tensor) -> Tensor:
    """||g - mean||² n/(n - 1) of each draw, [n]: their mean is the total variance."""
    flat = draws.flatten(1)
    return (flat - flat.mean(0)).square().sum(1) * (len(flat) / (len(flat) - 1))


def reference_draws(vae: LatentModel, x: Tensor, draws: int, generator: Generator) -> Tensor | None:
    """Cut gradients of the reference of this kind of latent, [draws, batch, *param_shape]; None where there is none.

    In float32, so that the error of what is computed in bfloat16 shows.
    """
    if vae.spec.kind not in REFERENCES:
        return None
    name = REFERENCES[vae.spec.kind] if len(vae.layers) == 1 else DEEP_REFERENCE
    reference = build(name, *vae.layers).eval()
    with in_float32(vae):
        return torch.cat([logits_draws(vae, reference, x, AT_A_TIME, generator) for _ in range(draws // AT_A_TIME)])


def relative_bias(draws: Tensor, reference: Tensor) -> Quantity:
    """||E g - E r|| / ||E r|| from gradient draws g and r [draws, ...], the reference's own error in its interval."""
    return relative_bias_between(draws.flatten(1).cpu().numpy(), reference.flatten(1).cpu().numpy())
