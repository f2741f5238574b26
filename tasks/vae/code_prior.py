"""Priors over the codes of a VQ-VAE: trained once the codes are frozen, and sampled one code after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from .causal_networks import CausalConvolutions, CausalGru
from .optimisers import make_optimizer

RATE = 1e-3
CHANNELS, LAYERS, WIDTH = 32, 3, 128
"""Of the convolutions, and of the GRU: about 20 ms per training step on one core, for 128 codes and batches of 100."""


class CodePrior(nn.Module, ABC):
    """Abstract: p(k) = Π_i p(k_i given k_1, ..., k_(i-1)) of an image's codes k, integers [batch, sites] below K."""

    @abstractmethod
    def logits(self, codes: Tensor) -> Tensor:
        """The logits of every code given those before it, [batch, sites] -> [batch, sites, K]."""

    @abstractmethod
    def learn(self, codes: Tensor, optimizer: Optimizer | None) -> None:
        """Train on a minibatch of codes, [batch, sites]."""

    def optimizer(self) -> Optimizer | None:
        """A new one for `learn`; None for a prior that takes no steps."""
        return None

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(k) in nats, [batch]."""
        return -cross_entropy(self.logits(codes).movedim(-1, 1), codes, reduction="none").sum(-1)

    @torch.no_grad()
    def sample(self, n: int, sites: int, generator: Generator | None) -> Tensor:
        """n ancestral draws, [n, sites]: each code given those before it."""
        device = next(iter(self.state_dict().values())).device
        codes = torch.zeros(n, sites, dtype=torch.long, device=device)
        for site in range(sites):
            given = self.logits(codes)[:, site].softmax(-1)
            codes[:, site] = torch.multinomial(given, 1, generator=generator).squeeze(-1)
        return codes


class Unigram(CodePrior):
    """p(k_i) = (1 + the count of k_i) / (K + all counts), the same at every site: by Laplace's rule no code has
    probability 0."""

    counts: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(codes, dtype=torch.long))

    def logits(self, codes: Tensor) -> Tensor:
        return self.counts.log().expand(*codes.shape, -1)

    def learn(self, codes: Tensor, optimizer: Optimizer | None = None) -> None:
        chosen = codes.flatten()
        self.counts.index_add_(0, chosen, torch.ones_like(chosen))


class Autoregressive(CodePrior):
    """softmax(output(h_i)), h = network(embedding(k)), the network [batch, sites, width] -> the same shape causal.

    Adam descends -log p(k), one step per minibatch.
    """

    def __init__(self, network: nn.Module, width: int, codes: int) -> None:
        super().__init__()
        self.embedding, self.network, self.output = nn.Embedding(codes, width), network, nn.Linear(width, codes)

    def logits(self, codes: Tensor) -> Tensor:
        return self.output(self.network(self.embedding(codes)))

    def learn(self, codes: Tensor, optimizer: Optimizer | None) -> None:
        assert optimizer is not None
        optimizer.zero_grad()
        self.log_prob(codes).mean().neg().backward()
        optimizer.step()

    def optimizer(self) -> Optimizer:
        return make_optimizer("adam", self.parameters(), RATE)


def convolutional(codes: int, side: int) -> Autoregressive:
    """Masked convolutions over side² sites in raster order."""
    return Autoregressive(CausalConvolutions(side, CHANNELS, LAYERS), CHANNELS, codes)


def recurrent(codes: int) -> Autoregressive:
    """A GRU over the sites, in their order."""
    return Autoregressive(CausalGru(WIDTH), WIDTH, codes)
