"""Noise of latents: uniform, exponential and Gumbel, on the device and in the dtype of a tensor."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def uniform(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform draws strictly inside (0, 1), on the device and in the dtype of `like`."""
    u = torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
    return u.clamp_min_(torch.finfo(like.dtype).eps / 4)


def log_exponential(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """log E with E ~ Exp(1), on the device and in the dtype of `like`."""
    return uniform(shape, like, generator).log_().neg_().log_()


def gumbel(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """Gumbel noise -log E, on the device and in the dtype of `like`."""
    return log_exponential(shape, like, generator).neg_()
