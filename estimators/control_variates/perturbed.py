"""The perturbed logits of REBAR and RELAX, and the gradient that a control variate of them gives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..backward import leaf_of
from ..contract import expand_right
from ..latents import Discrete


class Perturbed(NamedTuple):
    """The relaxed sample z(φ), its twin z̃(φ) given b = H(z), and the leaf φ in which both are differentiated."""

    leaf: Tensor
    hard: Tensor
    free: Tensor
    conditioned: Tensor


def perturb(latent: Discrete, generator: Generator | None) -> Perturbed:
    """z, b = H(z) and z̃ ~ q(z given b), each [1, *batch, *event]."""
    leaf = leaf_of(latent.params)
    with torch.enable_grad():
        own = type(latent)(leaf)
        free = own.perturb(own.noise(1, generator))
        hard = own.harden(free)
        return Perturbed(leaf, hard, free, own.condition(hard, 1, generator))


def controlled_gradient(f_hard: Tensor, control: Tensor, draw: Perturbed, score: Tensor, training: bool) -> Tensor:
    """(f(b) - c(z̃)) ∇ log q(b) + ∇_φ c(z) - ∇_φ c(z̃), with control = (c(z), c(z̃)) [2, *batch]."""
    control_free, control_conditioned = control.unbind(0)
    difference = (control_free - control_conditioned).sum()
    (path,) = torch.autograd.grad(difference, draw.leaf, create_graph=training)
    return expand_right(f_hard.detach() - control_conditioned, score) * score + path
