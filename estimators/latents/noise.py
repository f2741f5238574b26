"""Noise of latents: uniform, exponential and Gumbel, and bits, on the device and in the dtype of a tensor."""

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


def bits(p: Tensor, n: int, generator: Generator | None) -> Tensor:
    """n draws of bits that are 1 with probability p, [n, *p.shape], from about a byte of noise each.

    With 256 p = w + r, w whole, the bit is 1 where the byte u < w, and where u = w, once in 256, with probability r.
    Finding the undecided bits waits for the device.
    """
    whole = (256 * p).floor().clamp_max_(255)
    rest, whole = (256 * p - whole).flatten(), whole.to(torch.uint8)
    size = n * p.numel()
    noise = torch.empty(-(-size // 8), dtype=torch.int64, device=p.device).random_(-(2**63), None, generator=generator)
    u = noise.view(torch.uint8)[:size].view(n, *p.shape)
    z = torch.lt(u, whole, out=torch.empty_like(u, dtype=p.dtype))
    undecided = torch.zeros(8 * len(noise), dtype=torch.bool, device=p.device)
    torch.eq(u, whole, out=undecided[:size].view_as(u))
    # Eight at a time, as nonzero takes as long for a word as for a byte.
    index = (8 * undecided.view(torch.int64).nonzero() + torch.arange(8, device=p.device)).flatten()
    index = index[undecided[index]]
    z.view(-1)[index] = (uniform(index.shape, p, generator) < rest[index % p.numel()]).to(p.dtype)
    return z
