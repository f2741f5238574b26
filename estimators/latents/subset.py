"""Subsets of fixed size: k of n items."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from ..names import UsageError
from .exponential_family import ExponentialFamily
from .noise import gumbel
from .product_tree import draw, log_total, marginals, product_tree, tilted
from .spec import LatentSpec

MOST = 2**40
"""Above the number of masks that can be listed; the sum of 2^20 such numbers still fits in 63 bits."""


class Subset(ExponentialFamily):
    """Masks of n bits of which exactly k are 1, with params = logits φ [*batch, n]: q(z) = exp(φ · z) / e_k(exp φ).

    These are n independent bits given that their sum is k (conditional Bernoulli, conditional Poisson sampling); a
    constant added to all logits changes nothing. The partition function e_k, the sum over all masks, the marginals and
    draws come from `product_tree` in float64, in n k operations or little more. Draws are exact.

    `harden` takes the k largest logits. Of logits with Gumbel noise these are k draws without replacement (the
    Plackett-Luce distribution), which is another distribution than q unless k = 1.
    """

    axes = ("items",)

    def __init__(self, logits: Tensor, k: int) -> None:
        """Raises UsageError unless 1 <= k <= n."""
        super().__init__(logits)
        if not logits.dim():
            raise UsageError("the logits of a subset have one entry per item, [*batch, n], not a single number")
        self.logits, self.k, self._spec = self.params, k, LatentSpec.subset(logits.shape[-1], k)

    @classmethod
    def from_spec(cls, spec: LatentSpec, params: Tensor) -> Self:
        return cls(params, spec.chosen)

    @property
    def spec(self) -> LatentSpec:
        return self._spec

    def _at(self, params: Tensor) -> Self:
        return type(self)(params, self.k)

    @property
    def probs(self) -> Tensor:
        """The marginals P(z_i = 1), which sum to k."""
        return self.tempered_probs(1.0)

    def tempered_probs(self, tau: float) -> Tensor:
        tree = product_tree(tilted(self.logits / tau, self.k), self.k)
        return marginals(tree, self.k, self.logits.shape[-1]).to(self.logits.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        """φ · z - log e_k(exp φ), as the log probability of independent bits minus that of their sum."""
        x = tilted(self.logits, self.k)
        bits = (self._checked(z) * x + logsigmoid(-x)).sum(-1)
        return (bits - log_total(product_tree(x, self.k), self.k)).to(self.logits.dtype)

    def score(self, z: Tensor) -> Tensor:
        """z minus the marginals."""
        with torch.no_grad():
            return self._checked(z) - self.probs

    def _checked(self, z: Tensor) -> Tensor:
        items = self.logits.shape[-1]
        if not z.dim() or z.shape[-1] != items:
            raise UsageError(f"a mask of {self.spec} has shape [..., {items}], not {list(z.shape)}")
        return z

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        with torch.no_grad():
            tree = product_tree(tilted(self.logits, self.k), self.k)
            return draw(tree, self.k, n, self.logits.shape[-1], generator).to(self.logits.dtype)

    def given(self, z: Tensor, known: Tensor) -> Self:
        """q given the items of z [..., n] where `known` [..., n], which broadcast to the batch: an item that is chosen
        has an infinite logit. Its `probs` are the conditional marginals. Raises UsageError for another shape of either.
        """
        certain = torch.where(self._checked(z) > 0.5, torch.inf, -torch.inf).to(self.logits.dtype)
        return self.at(torch.where(self._checked(known), certain, self.logits))

    def kl_to_prior(self) -> Tensor:
        """KL(q || uniform) = E log q + log (n choose k), [*batch]."""
        x = tilted(self.logits, self.k)
        tree = product_tree(x, self.k)
        bits = (marginals(tree, self.k, x.shape[-1]) * x + logsigmoid(-x)).sum(-1)
        return (bits - log_total(tree, self.k) + math.log(self.spec.configurations)).to(self.logits.dtype)

    # Perturb and MAP.

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """Gumbel noise."""
        return gumbel((n, *self.logits.shape), self.logits, generator)

    def perturb(self, noise: Tensor) -> Tensor:
        return self.logits + noise

    def harden(self, perturbed: Tensor) -> Tensor:
        """1 for the k largest."""
        perturbed = perturbed.detach()
        return torch.zeros_like(perturbed).scatter_(-1, perturbed.topk(self.k, -1).indices, 1.0)

    def relax(self, perturbed: Tensor, tau: float | Tensor) -> Tensor:
        """Σ_j p_j of k softmaxes at temperature tau, each without what those before it took: α_{j+1} = α_j +
        log(1 - p_j). It sums to k, and hardens to the k largest as tau → 0 (Xie & Ermon 2019, Reparameterizable subset
        sampling via continuous relaxations).
        """
        rest = perturbed
        taken = torch.zeros_like(perturbed)
        most = 1 - torch.finfo(perturbed.dtype).eps
        for _ in range(self.k):
            p = (rest / tau).softmax(-1)
            taken = taken + p
            rest = rest + torch.log1p(-p.clamp_max(most))
        return taken

    # One site, whose classes are the masks, numbered Σ_j C(c_j, j) for the items c_1 < ... < c_k (combinadics).

    @property
    def log_class_probs(self) -> Tensor:
        with torch.no_grad():
            return self.log_prob(self.support()).movedim(0, -1).unsqueeze(-2)

    def classes(self, z: Tensor) -> Tensor:
        z = z.long()
        item = torch.arange(z.shape[-1], device=z.device)
        return (self._binomials[z.cumsum(-1), item] * z).sum(-1, keepdim=True)

    def from_classes(self, classes: Tensor) -> Tensor:
        return self._masks(0, self.spec.configurations)[classes.squeeze(-1)]

    def configurations(self, start: int, stop: int) -> Tensor:
        masks = self._masks(start, stop)
        return masks.view(-1, *[1] * (self.logits.dim() - 1), masks.shape[-1]).expand(-1, *self.logits.shape)

    def _masks(self, start: int, stop: int) -> Tensor:
        """The masks of these numbers, [stop - start, n]: the largest item c_k is the last with C(c, k) <= number."""
        number = torch.arange(start, stop, device=self.logits.device)
        masks = self.logits.new_zeros(stop - start, self.logits.shape[-1])
        for j in range(self.k, 0, -1):
            column = self._binomials[j]
            item = torch.searchsorted(column, number, right=True) - 1
            masks.scatter_(-1, item.unsqueeze(-1), 1.0)
            number = number - column[item]
        return masks

    @property
    def _binomials(self) -> Tensor:
        """C(c, j), [k + 1, n] over j and c, no larger than any number in use."""
        row = torch.ones(self.logits.shape[-1], dtype=torch.long, device=self.logits.device)
        rows = [row]
        for _ in range(self.k):
            row = (row.cumsum(-1) - row).clamp_max(MOST)
            rows.append(row)
        return torch.stack(rows)
