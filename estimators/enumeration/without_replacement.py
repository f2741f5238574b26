"""Configurations of a product of sites, without replacement: the most probable ones, and draws from the rest.

Nothing is enumerated and nothing subtracted. The configurations outside a given set are a union of disjoint subtrees
(a prefix of a given configuration, then another class), and the mass of a subtree is that of its prefix. So the mass of
the rest is a sum of positive terms, accurate however small it is, and drawing from the rest means choosing a subtree
and drawing the sites below it afresh. k configurations drawn one after another have the distribution of the
Gumbel-top-k trick, which stochastic beam search (Kool, van Hoof & Welling 2019) draws from site by site.

Everywhere `log_pi` is [*batch, D, K], and m configurations are the classes of their sites, [m, *batch, D].
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from ..contract import Unsupported, expand_right
from ..latents import ExponentialFamily, LatentSpec
from ..latents.noise import gumbel

LISTED = 2**16


def check_listed(name: str, spec: LatentSpec) -> None:
    """Raises Unsupported for a subset of more than LISTED masks, which are the classes of its only site."""
    if spec.chosen and spec.configurations > LISTED:
        raise Unsupported(f"{name} lists the masks of a subset, and {spec} has more than {LISTED}")


def most_probable(log_pi: Tensor, m: int) -> Tensor:
    """The m <= K^D most probable configurations, best first.

    Each of the m best of a group of sites consists of one of the m best of each half, so that groups are merged in
    pairs, log2 D times; sites with one certain class pad their number to a power of two.
    """
    *batch, count, classes = log_pi.shape
    rounds = (count - 1).bit_length()
    certain = log_pi.new_full((*batch, (1 << rounds) - count, classes), -torch.inf)
    certain[..., 0] = 0
    score, chosen = torch.cat([log_pi, certain], -2).topk(min(m, classes), -1)
    chosen = chosen.unsqueeze(-1)
    for _ in range(rounds):
        left, right = score[..., ::2, :], score[..., 1::2, :]
        joint = (left.unsqueeze(-1) + right.unsqueeze(-2)).flatten(-2)
        score, index = joint.topk(min(m, joint.shape[-1]), -1)
        index = index.unsqueeze(-1)
        ours = chosen[..., ::2, :, :].take_along_dim(index // right.shape[-1], -2)
        theirs = chosen[..., 1::2, :, :].take_along_dim(index % right.shape[-1], -2)
        chosen = torch.cat([ours, theirs], -1)
    return chosen[..., 0, :, :count].movedim(-2, 0)


def subtrees(log_pi: Tensor, taken: Tensor) -> Tensor:
    """log q of the subtrees that make up everything but the m distinct configurations `taken`, [m, *batch, D, K].

    Subtree (t, d, c) is every z that agrees with taken[t] at the sites before d and has class c at site d; -inf where
    a configuration of `taken` lies in it, or where an earlier t has the same prefix.
    """
    index = torch.arange(taken.shape[0], device=taken.device)
    same = (taken.unsqueeze(1) == taken.unsqueeze(0)).long()
    # shared[t, s, ..., d]: whether taken[t] and taken[s] agree at all sites before d.
    shared = pad(same[..., :-1], (1, 0), value=1).cumprod(-1) > 0
    occupies = taken.unsqueeze(-1) == torch.arange(log_pi.shape[-1], device=taken.device)
    occupied = (shared.unsqueeze(-1) & occupies).any(1)
    repeated = (shared & expand_right(index.unsqueeze(1) > index, shared)).any(1)
    log_q = log_pi.expand(*occupies.shape).gather(-1, taken.unsqueeze(-1)).squeeze(-1)
    prefix = pad(log_q[..., :-1], (1, 0)).cumsum(-1)
    return (prefix.unsqueeze(-1) + log_pi).masked_fill(occupied | repeated.unsqueeze(-1), -torch.inf)


def log_rest(log_pi: Tensor, taken: Tensor) -> Tensor:
    """log of the mass outside `taken`, [*batch]; -inf where nothing is left, 0 where nothing is taken."""
    if not len(taken):
        return log_pi.new_zeros(log_pi.shape[:-2])
    return subtrees(log_pi, taken).movedim(0, -1).flatten(-3).logsumexp(-1)


def draw_rest(latent: ExponentialFamily, taken: Tensor, generator: Generator | None) -> Tensor:
    """One configuration [1, *batch, D] from q given that it is not in `taken`; arbitrary if nothing is left."""
    if not len(taken):
        return latent.classes(latent.sample(1, generator))
    log_pi = latent.log_class_probs
    count, classes = log_pi.shape[-2:]
    log_q = subtrees(log_pi, taken).movedim(0, -3).flatten(-3)
    chosen = (log_q + gumbel(tuple(log_q.shape), log_q, generator)).argmax(-1, keepdim=True)
    prefix = taken.take_along_dim((chosen // (count * classes)).unsqueeze(0), 0)
    free = latent.classes(latent.sample(1, generator))
    site, own = torch.arange(count, device=taken.device), chosen // classes % count
    return torch.where(site < own, prefix, torch.where(site == own, chosen % classes, free))
