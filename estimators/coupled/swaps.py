"""Swapped Dirichlet noise, which the estimators of the ARS family share.

The noise G [*batch, N, K] is Gumbel: E = exp(-G) is exponential, π' = E / ΣE = softmax(-G) is uniform on the simplex
and independent of ΣE, and z = argmin_c E_c / π_c = argmax_c (log π_c + G_c) has distribution q.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..latents import Discrete, LatentSpec
from ..latents.noise import uniform


class ReferenceSwaps(NamedTuple):
    """The noise, a reference class j per replicate [*batch, 1, 1] and z^{m⇄j} for every m, [K, *batch, N, K]."""

    noise: Tensor
    ref: Tensor
    z: Tensor


class AllSwaps(NamedTuple):
    """The noise and z^{m⇄j} for every pair of `pairs`, [K (K - 1) / 2 + 1, *batch, N, K]."""

    noise: Tensor
    z: Tensor


def swap_with_reference(latent: Discrete, generator: Generator | None) -> ReferenceSwaps:
    noise = latent.noise(1, generator)[0]
    classes = noise.shape[-1]
    ref = (classes * uniform((*noise.shape[:-2], 1, 1), noise, generator)).long()
    m = torch.arange(classes, device=noise.device).view(classes, *[1] * noise.dim())
    return ReferenceSwaps(noise, ref, swapped(latent, noise, m, ref))


def swap_all(latent: Discrete, generator: Generator | None) -> AllSwaps:
    noise = latent.noise(1, generator)[0]
    m, j = (index.view(-1, *[1] * noise.dim()) for index in pairs(noise.shape[-1], noise.device))
    return AllSwaps(noise, swapped(latent, noise, m, j))


def swapped(latent: Discrete, noise: Tensor, m: Tensor, j: Tensor) -> Tensor:
    """z^{m⇄j}, [n, *batch, N, K]: z with the entries m and j of every site's noise exchanged.

    m and j broadcast to [n, *batch, 1, 1].
    """
    classes = torch.arange(noise.shape[-1], device=noise.device)
    index = torch.where(classes == m, j, torch.where(classes == j, m, classes))
    noise, index = torch.broadcast_tensors(noise, index)
    with torch.no_grad():
        return latent.harden(latent.perturb(noise.gather(-1, index)))


def numbers(spec: LatentSpec) -> int:
    """The numbers of all z^{m⇄j} of one data point."""
    count, classes = spec.event_shape
    return (classes * (classes - 1) // 2 + 1) * count * classes


def pairs(classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """m and j of the K (K - 1) / 2 + 1 different swaps, the first of which swaps nothing (m = j = 0)."""
    m, j = torch.triu_indices(classes, classes, 1, device=device)
    none = m.new_zeros(1)
    return torch.cat([none, m]), torch.cat([none, j])


def table(classes: int, device: torch.device) -> Tensor:
    """The index of each swap m⇄j in `pairs`, [K, K]."""
    m, j = pairs(classes, device)
    place = m.new_zeros(classes, classes)
    place[m, j] = place[j, m] = torch.arange(len(m), device=device)
    return place


def centred(f_z: Tensor) -> Tensor:
    """F_m - mean_c F_c along the first dimension, detached."""
    return (f_z - f_z.mean(0)).detach()


def integrated_reference(latent: Discrete, noise: Tensor, ref: Tensor) -> Tensor:
    """1 - K E[π'_j given the swaps z^{m⇄j} for all m and the ratios of the other entries], [*batch, N, 1].

    Fix everything but x = E_j. Then z^{m⇄j} = m exactly if x < t_m = π_m min(E_m / π_j, min_{c≠m,j} E_c / π_c), and the
    other outcomes do not depend on x. So the swaps are equivalent to max{t_m <= x} <= x < min{t_m > x}, and
    1 - π'_j = Σ_{c≠j} E_c / (x + Σ_{c≠j} E_c), which is Beta(K - 1, 1), lies between its values b and a at the upper
    and the lower end. With q = b / a, 1 - K E[π'_j | ...] = (K - 1) (a Σ_{i<K} qⁱ / Σ_{i<K-1} qⁱ - 1).
    """
    if noise.shape[-1] == 1:  # one class: π'_j = 1
        return torch.zeros_like(noise)
    log_e, log_pi = -noise, latent.params.detach().log_softmax(-1)
    classes = torch.arange(noise.shape[-1], device=noise.device)
    ref = ref.expand(*noise.shape[:-1], 1)
    x, is_ref = log_e.gather(-1, ref), classes == ref
    # The minimum over c ≠ m, j is the least of all c ≠ j, and the second least where m itself is the least.
    least, place = (log_e - log_pi).masked_fill(is_ref, torch.inf).topk(2, largest=False)
    others = torch.where(classes == place[..., :1], least[..., 1:], least[..., :1])
    own = (log_e - log_pi.gather(-1, ref)).masked_fill(is_ref, torch.inf)
    t = log_pi + torch.minimum(own, others)
    low = t.masked_fill(x < t, -torch.inf).amax(-1, keepdim=True)
    high = t.masked_fill(x >= t, torch.inf).amin(-1, keepdim=True)
    rest = log_e.masked_fill(is_ref, -torch.inf).logsumexp(-1, keepdim=True)
    log_a, log_b = logsigmoid(rest - low), logsigmoid(rest - high)
    # Sums of powers of q in place of (1 - q^K) / (1 - q^(K-1)), which cancels as q → 1.
    powers = (log_b - log_a).exp() ** classes
    ratio = powers.sum(-1, keepdim=True) / powers[..., :-1].sum(-1, keepdim=True)
    return (len(classes) - 1) * (log_a.exp() * ratio - 1)
