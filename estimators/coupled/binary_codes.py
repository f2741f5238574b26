"""Categories encoded as bits, one per inner node of a binary tree; the DisARM estimators of categories share them.

A code is two masks [K - 1, K] or [*batch, N, K - 1, K]: `yes` and `no` say which classes remain when the bit of a node
is 1 or 0. The bit is Bernoulli(σ(v)), v = logsumexp φ_yes - logsumexp φ_no; the path of a class holds the nodes that
decide it; the other bits do not affect it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..backward import leaf_of
from ..latents import Discrete
from ..latents.latent import finite
from ..latents.noise import uniform


class Code(NamedTuple):
    yes: Tensor
    no: Tensor


class CodedPair(NamedTuple):
    """An antithetic pair: its code, bits [2, *batch, N, K - 1] and classes z [2, *batch, N, K]."""

    code: Code
    bits: Tensor
    z: Tensor


def stick_breaking(logits: Tensor, descending: bool = False) -> Code:
    """Test the classes one after another in the order of their logits; if ascending, every σ(v) is at most 1/2."""
    order = logits.detach().argsort(dim=-1, descending=descending, stable=True)
    rank = order.argsort(dim=-1).unsqueeze(-2)
    node = torch.arange(logits.shape[-1] - 1, device=logits.device).unsqueeze(-1)
    return Code(rank == node, rank > node)


def balanced_tree(logits: Tensor) -> Code:
    """Halve the classes, then each half, and so on; yes is the upper half, which also gets an odd class."""
    spans, splits = [(0, logits.shape[-1])], []
    for low, high in spans:
        middle = (low + high) // 2
        if high - low > 1:
            splits.append((low, middle, high))
            spans += [(low, middle), (middle, high)]
    nothing = torch.zeros(len(splits), logits.shape[-1], dtype=torch.bool, device=logits.device)
    code = Code(nothing, nothing.clone())
    for node, (low, middle, high) in enumerate(splits):
        code.yes[node, middle:high] = True
        code.no[node, low:middle] = True
    return code


def node_logits(code: Code, logits: Tensor) -> Tensor:
    """v = logsumexp φ_yes - logsumexp φ_no, [*batch, N, K - 1]."""
    logits = finite(logits).unsqueeze(-2)
    yes, no = (logits.masked_fill(~mask, -torch.inf).logsumexp(-1) for mask in code)
    return yes - no


def decode(code: Code, bits: Tensor) -> Tensor:
    """The one-hot class [n, *batch, N, K] that no bit excludes."""
    one = bits.unsqueeze(-1) > 0.5
    return (~((one & code.no) | (~one & code.yes)).any(-2)).to(bits.dtype)


def path(code: Code, z: Tensor) -> Tensor:
    """1 for each node on the path of z, else 0; [n, *batch, N, K - 1]."""
    return ((code.yes | code.no) & (z.unsqueeze(-2) > 0.5)).any(-1).to(z.dtype)


def antithetic_pair(code: Code, latent: Discrete, generator: Generator | None) -> CodedPair:
    """With u ~ U(0, 1) at each node, the bits 1[u > 1 - σ(v)] and 1[u < σ(v)]."""
    p = node_logits(code, latent.params.detach()).sigmoid()
    u = uniform(tuple(p.shape), p, generator)
    bits = torch.stack([u > 1 - p, u < p]).to(p.dtype)
    return CodedPair(code, bits, decode(code, bits))


def disarm_gradient(f_z: Tensor, latent: Discrete, draw: CodedPair) -> Tensor:
    """DisARM for the bits, in terms of φ: [*batch, N, K]. f_z: [2, *batch], detached.

    A node on both paths gets ½ (f - f') (b - b') σ(|v|); one on the path of z alone ½ (f - f') (b - σ(v)), because z'
    does not depend on its bit, and one on the path of z' alone ½ (f' - f) (b' - σ(v)). ∂v/∂φ carries them to φ.
    """
    leaf = leaf_of(latent.params)
    with torch.enable_grad():
        v = node_logits(draw.code, leaf)
    on, (bit, twin), p = path(draw.code, draw.z), draw.bits, v.detach().sigmoid()
    both = on[0] * on[1] * (bit - twin) * v.detach().abs().sigmoid()
    alone = on[0] * (1 - on[1]) * (bit - p) - on[1] * (1 - on[0]) * (twin - p)
    difference = (f_z[0] - f_z[1]).unsqueeze(-1).unsqueeze(-1)
    (grad,) = torch.autograd.grad(v, leaf, 0.5 * difference * (both + alone))
    return grad
