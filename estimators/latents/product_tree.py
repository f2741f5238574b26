"""How many of n independent bits are 1, by a product tree of polynomials; given their sum, which ones.

A node holds P(c of its bits are 1) for c = 0 to k, the coefficients of Π_i (1 - p_i + p_i x), coefficients first:
[degree + 1, nodes, *batch]. The leaves are the bits; node i of a level has the children i and i + half of the level
below, and the root has all bits. log2 n levels, O(n k) numbers, no loop over n; every term is positive, so that no
digit is lost.

Weights may be multiplied by a constant without changing the distribution given the sum: `tilted` chooses the one for
which the sum is k on average, so that P(sum = k) is of the order of 1/√n and nothing that matters underflows.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from .latent import finite
from .noise import uniform
from .polynomials import correlation, product

ENOUGH = 50.0
"""How far log P(sum = k) may be from its maximum over tilts: doubles reach down to -708."""


def tilted(logits: Tensor, k: int) -> Tensor:
    """The logits [*batch, n] in float64 plus the constant t for which Σ_i σ(φ_i + t) is about k, by bisection.

    t is held constant by derivatives. Relative to the k-th largest logit it is between ± (log n + 1), lower by up to
    the distance to the next largest. An error δ costs at most n δ in log P. Infinite logits are very large ones.
    """
    x, n = finite(logits).double(), logits.shape[-1]
    with torch.no_grad():
        largest = x.topk(min(k + 1, n), -1).values
        kth, next_one = largest[..., k - 1, None], largest[..., -1, None]
        width = math.log(n) + 1
        high = torch.full_like(kth, width)
        low = kth - next_one - high if k < n else high
        for _ in range(math.ceil(math.log2(max(1, n * width / ENOUGH)))):
            middle = (low + high) / 2
            few = (x - kth + middle).sigmoid().sum(-1, keepdim=True) < k
            low, high = torch.where(few, middle, low), torch.where(few, high, middle)
        shift = (low + high) / 2
    return x - kth + shift


def product_tree(x: Tensor, k: int) -> list[Tensor]:
    """The levels of the tree at logits x [*batch, n], leaves first, root last; differentiable."""
    x = x.movedim(-1, 0)
    certain = (1 << (len(x) - 1).bit_length()) - len(x)  # bits that are 0, up to a power of two
    ones, zeros = (x.new_full((certain, *x.shape[1:]), value) for value in (1.0, 0.0))
    level = torch.stack([torch.cat([(-x).sigmoid(), ones]), torch.cat([x.sigmoid(), zeros])])
    levels = [level]
    while level.shape[1] > 1:
        left, right = level.chunk(2, 1)
        level = product(left, right, degree=min(k, 2 * (len(level) - 1)))
        levels.append(level)
    return levels


def log_total(levels: list[Tensor], k: int) -> Tensor:
    """log P(the bits sum to k), [*batch]."""
    return levels[-1][k, 0].log()


def marginals(levels: list[Tensor], k: int, n: int) -> Tensor:
    """P(bit i is 1 given that the bits sum to k), [*batch, n]; differentiable.

    From the root down, each node gets P(the bits outside it sum to k - c), a correlation with its sibling.
    """
    outside = torch.zeros_like(levels[-1])
    outside[k] = 1
    for level in reversed(levels[:-1]):
        sibling = torch.cat(level.chunk(2, 1)[::-1], 1)
        outside = correlation(torch.cat([outside, outside], 1), sibling, degree=len(level) - 1)
    without, along = (levels[0] * outside)[:, :n].movedim(1, -1)
    return along / (without + along)


def draw(levels: list[Tensor], k: int, draws: int, n: int, generator: Generator | None) -> Tensor:
    """Bits given that they sum to k, [draws, *batch, n]: from the root down, each node's sum is split between its two
    children, by inverting the cdf of the left one's share.
    """
    root = levels[-1]
    count = torch.full((draws, *root.shape[1:]), k, device=root.device)
    for level in reversed(levels[:-1]):
        left, right = (half.unsqueeze(1).expand(-1, *count.shape) for half in level.chunk(2, 1))
        share = torch.arange(len(level), device=root.device).view(-1, *[1] * count.dim())
        rest = count - share
        possible = (rest >= 0) & (rest < len(level))
        weight = left * right.gather(0, rest.clamp(0, len(level) - 1)) * possible
        cdf = weight.cumsum(0)
        # Strictly below 1 after rounding, so that no share of weight 0 is chosen.
        u = uniform(tuple(count.shape), root, generator).clamp_max(1 - torch.finfo(root.dtype).eps)
        taken = (u * cdf[-1] >= cdf[:-1]).sum(0)
        count = torch.cat([taken, count - taken], 1)
    return count[:, :n].movedim(1, -1)
