"""Sequences drawn by a policy network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from ..names import Unsupported, UsageError
from .latent import Enumerable, finite
from .noise import gumbel
from .sequence import Sequence
from .spec import LatentSpec

Network = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""(token before [*, K], state) -> (logits of the next token [*, K], state); the first token before is all 0."""


class Policy(Sequence):
    """As `Sequence`, but a network computes the logits: params = its first state, such as an encoded prompt,
    [*batch, width].

    log q of the drawn tokens is differentiated by autograd, so that gradients reach the network and the state.
    reference, stale: networks of the same form, of the prior and of an earlier policy.
    """

    axes = ("steps", "tokens")

    def __init__(
        self,
        state: Tensor,
        network: Network,
        steps: int,
        tokens: int,
        reference: Network | None = None,
        stale: Network | None = None,
        beta: float = 0.0,
    ) -> None:
        """Raises UsageError for an empty sequence, fewer than two tokens, and a negative beta."""
        Enumerable.__init__(self, state)
        if not beta >= 0:
            raise UsageError(f"beta must be at least 0, got {beta}")
        shape = LatentSpec.sequence(steps, tokens).event_shape
        self.made = LatentSpec("sequence", shape, tuple(state.shape[-1:]), "policy")
        self.network, self.steps, self.tokens, self.beta = network, steps, tokens, beta
        self.of_reference, self.of_stale = reference, stale

    @property
    def spec(self) -> LatentSpec:
        return self.made

    def _at(self, params: Tensor) -> Policy:
        return Policy(params, self.network, self.steps, self.tokens, self.of_reference, self.of_stale, self.beta)

    def validate(self) -> None:
        Enumerable.validate(self)

    @property
    def behaviour(self) -> Sequence:
        return self if self.of_stale is None else Policy(self.params, self.of_stale, self.steps, self.tokens)

    def log_probs(self, z: Tensor) -> Tensor:
        return self._along(self.network, z)

    def prior_log_probs(self, z: Tensor) -> Tensor:
        return self._along(self.of_reference or _uniform, z)

    def score(self, z: Tensor) -> Tensor:
        raise Unsupported("log q of a policy network is differentiated by autograd: use `scored`, not the score")

    def _along(self, network: Network, z: Tensor) -> Tensor:
        """log p of the tokens of z under a network. Raises UsageError for z or logits of a wrong shape."""
        z = self.checked(z).detach()
        state, before, found = self.params.expand(*z.shape[:-2], -1), torch.zeros_like(z[..., 0, :]), []
        for token in z.unbind(-2):
            logits, state = self._next(network, before, state)
            found.append((token * finite(logits.log_softmax(-1))).sum(-1))
            before = token
        return torch.stack(found, -1)

    def _next(self, network: Network, before: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = network(before, state)
        if logits.shape != before.shape:
            raise UsageError(
                f"the network must answer logits of every token, {list(before.shape)}, not {list(logits.shape)}"
            )
        return logits, state

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        return self._decoded(n, gumbel((n, *self.batch_shape, self.steps, self.tokens), self.params, generator))

    @torch.no_grad()
    def _decoded(self, n: int, noise: Tensor) -> Tensor:
        state = self.params.expand(n, *self.params.shape)
        before = noise.new_zeros(n, *self.batch_shape, self.tokens)
        every, z = torch.arange(self.tokens, device=noise.device), []
        alive = torch.ones_like(before[..., 0], dtype=torch.bool)
        for t in range(self.steps):
            logits, state = self._next(self.network, before, state)
            token = (logits + noise[..., t, :]).argmax(-1)
            before = ((token.unsqueeze(-1) == every) & alive.unsqueeze(-1)).to(noise.dtype)
            alive = alive & (token < self.tokens - 1)
            z.append(before)
        return torch.stack(z, -2)


def _uniform(before: Tensor, state: Any) -> tuple[Tensor, Any]:
    return torch.zeros_like(before), state
