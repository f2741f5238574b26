"""Sequences of tokens that end by themselves, drawn token by token."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..names import UsageError
from .latent import Enumerable, expand_right, finite, widened
from .noise import gumbel
from .spec import LatentSpec


class Sequence(Enumerable):
    """At most T tokens out of K, of which the last, K - 1, ends the sequence: q(z) = Π_t softmax(φ at the prefix)_z_t.

    params = the logits φ of every prefix that has not ended, [*batch, P, K] with P = Σ_{t<T} (K - 1)^t, numbered as a
    heap: the empty prefix is 0, and token d leads from prefix i to (K - 1) i + 1 + d. z [*batch, T, K] holds one-hot
    tokens; the steps after the end are padding, all 0.

    reference: logits [*batch, P, K] of the prior, the reference policy; by default all tokens are equally likely.
    stale: logits of an earlier policy, which draws the samples of off-policy estimators; by default that is q itself.
    beta: the weight of KL(q || reference) in the objective of estimators that penalise it.
    """

    axes = ("steps", "tokens")

    def __init__(
        self, logits: Tensor, reference: Tensor | None = None, stale: Tensor | None = None, beta: float = 0.0
    ) -> None:
        """Raises UsageError if a tensor is not shaped as the logits of all prefixes, or beta is negative."""
        super().__init__(logits)
        self.steps = _steps(logits)
        self.reference, self.stale, self.beta = reference, stale, beta
        for name, table in (("reference", reference), ("stale", stale)):
            if table is not None and table.shape[-2:] != logits.shape[-2:]:
                raise UsageError(
                    f"the {name} policy has logits of shape {list(table.shape)}: give them the shape of the policy's "
                    f"own, [*batch, {', '.join(map(str, logits.shape[-2:]))}]"
                )
        if not beta >= 0:
            raise UsageError(f"beta must be at least 0, got {beta}")

    @property
    def spec(self) -> LatentSpec:
        return LatentSpec.sequence(self.steps, self.params.shape[-1])

    def _at(self, params: Tensor) -> Sequence:
        return type(self)(params, self.reference, self.stale, self.beta)

    def validate(self) -> None:
        super().validate()
        for name, table, consequence in (
            ("reference", self.reference, "KL(q || reference) is infinite"),
            ("stale", self.stale, "importance ratios cannot make up for the sequences it never draws"),
        ):
            if table is not None and not bool(table.isfinite().all()):
                raise UsageError(
                    f"the {name} policy gives a token the probability 0, so that {consequence}: give it finite logits"
                )

    @property
    def behaviour(self) -> Sequence:
        """The policy that draws the samples of off-policy estimators: at the stale logits, or this one."""
        return self if self.stale is None else type(self)(self.stale.expand_as(self.params).to(self.params))

    # Prefixes

    def prefixes(self, z: Tensor) -> Tensor:
        """The number of the prefix before each step and after the last one, [n, *batch, T + 1].

        It stays where the sequence has ended. The last entry numbers the sequences as `configurations` does.
        """
        return numbered(self.checked(z))

    def checked(self, z: Tensor) -> Tensor:
        """z itself. Raises UsageError if it is not [n, *batch, T, K]."""
        steps, tokens = self.spec.event_shape
        if z.shape[-2:] != (steps, tokens):
            raise UsageError(
                f"z has shape {list(z.shape)}: give one-hot tokens [n, *batch, {steps}, {tokens}], all 0 after the end"
            )
        return z

    def mask(self, z: Tensor) -> Tensor:
        """1 for each token of the sequence, its end included, and 0 for padding, [n, *batch, T]."""
        return z.detach().sum(-1)

    def log_probs(self, z: Tensor) -> Tensor:
        """log q of every token given those before it, 0 for padding, [n, *batch, T]; differentiable."""
        return self._of_tokens(self.params, z)

    def prior_log_probs(self, z: Tensor) -> Tensor:
        """As `log_probs`, of the reference policy."""
        reference = torch.zeros_like(self.params) if self.reference is None else widened(self.reference)
        return self._of_tokens(reference.to(self.params), z)

    def _of_tokens(self, logits: Tensor, z: Tensor) -> Tensor:
        return (z.detach() * _rows(finite(logits.log_softmax(-1)), self.prefixes(z)[..., :-1])).sum(-1)

    # The distribution

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_probs(z).sum(-1)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        return self.prior_log_probs(z).sum(-1)

    def score(self, z: Tensor) -> Tensor:
        """z_t - π at the prefix of each token, 0 at prefixes that z does not pass."""
        prefix = self.prefixes(z)[..., :-1]
        own = z.detach() - self.mask(z).unsqueeze(-1) * _rows(self.params.detach().softmax(-1), prefix)
        table = own.new_zeros(*own.shape[:-2], *self.spec.param_shape)
        return table.scatter_add(-2, prefix.unsqueeze(-1).expand_as(own), own)

    def weighted_score(self, z: Tensor, weight: Tensor, *, mean: bool) -> tuple[Tensor, Tensor | None]:
        """The gradient at log q of the drawn tokens, which autograd differentiates. weight: also [n, *batch, T]."""
        log_q = self.log_probs(z)
        grad = expand_right(weight / len(z) if mean else weight, log_q).expand_as(log_q)
        return grad.movedim(0, -2), log_q.movedim(0, -2)

    @property
    def mean(self) -> Tensor:
        z = self.support()
        return (self.log_prob(z).exp()[..., None, None] * z).sum(0)

    def kl_to_prior(self) -> Tensor:
        """KL(q || reference), [*batch], by enumeration."""
        z = self.support()
        log_q = self.log_prob(z)
        return (log_q.exp() * (log_q - self.prior_log_prob(z))).sum(0)

    def sample(self, n: int, generator: Generator | None) -> Tensor:
        """Token by token, each the argmax of φ + Gumbel noise."""
        return self._decoded(n, gumbel((n, *self.batch_shape, *self.spec.event_shape), self.params, generator))

    @property
    def greedy(self) -> Tensor:
        """The most likely token at every step, [1, *batch, T, K]: greedy decoding."""
        return self._decoded(1, self.params.new_zeros(()).expand(1, *self.batch_shape, *self.spec.event_shape))

    def _decoded(self, n: int, noise: Tensor) -> Tensor:
        """The sequence whose token at each step has the largest logit plus noise [n, *batch, T, K]."""
        logits, last = self.params.detach(), self.params.shape[-1] - 1
        every = torch.arange(last + 1, device=logits.device)
        node = torch.zeros((n, *self.batch_shape), dtype=torch.long, device=logits.device)
        alive, z = torch.ones_like(node, dtype=torch.bool), []
        for t in range(self.steps):
            token = (_rows(logits, node.unsqueeze(-1)).squeeze(-2) + noise[..., t, :]).argmax(-1)
            z.append(((token.unsqueeze(-1) == every) & alive.unsqueeze(-1)).to(logits.dtype))
            alive = alive & (token < last)
            node = torch.where(alive, last * node + 1 + token, node)
        return torch.stack(z, -2)

    def configurations(self, start: int, stop: int) -> Tensor:
        """Every prefix, ended, in the order of their numbers, and then every sequence of T tokens without an end."""
        (_, tokens), device = self.spec.event_shape, self.params.device
        node = torch.arange(start, stop, device=device).unsqueeze(-1)
        firsts = [sum((tokens - 1) ** s for s in range(t)) for t in range(self.steps + 1)]
        level = torch.arange(self.steps, device=device)
        depth = torch.cat([node >= first for first in firsts[1:]], -1).sum(-1, keepdim=True)
        first = torch.cat([(depth == t) * first for t, first in enumerate(firsts)], -1).sum(-1, keepdim=True)
        digit = (node - first) // (tokens - 1) ** (depth - 1 - level).clamp_min(0) % (tokens - 1)
        token = torch.where(level < depth, digit, torch.where(level == depth, tokens - 1, -1))
        z = (token.unsqueeze(-1) == torch.arange(tokens, device=device)).to(self.params.dtype)
        z = z.view(stop - start, *[1] * len(self.batch_shape), self.steps, tokens)
        return z.expand(stop - start, *self.batch_shape, self.steps, tokens)


def numbered(z: Tensor) -> Tensor:
    """The number of the prefix before each step of z [*, T, K] and after the last one, [*, T + 1]."""
    ordinary = z.shape[-1] - 1
    moves, token = z[..., :-1].detach().sum(-1) > 0.5, z.detach().argmax(-1)
    nodes = [torch.zeros_like(token[..., 0])]
    for t in range(z.shape[-2]):
        nodes.append(torch.where(moves[..., t], ordinary * nodes[-1] + 1 + token[..., t], nodes[-1]))
    return torch.stack(nodes, -1)


def _rows(table: Tensor, prefix: Tensor) -> Tensor:
    """The rows [n, *batch, T, K] of table [*batch, P, K] at prefix [n, *batch, T]."""
    width = table.shape[-1]
    index = prefix.unsqueeze(-1).expand(*prefix.shape, width)
    return table.expand(*prefix.shape[:-1], *table.shape[-2:]).gather(-2, index)


def _steps(logits: Tensor) -> int:
    """T, from the number of prefixes. Raises UsageError for an empty sequence, K < 2, and any other number."""
    if logits.dim() < 2 or logits.shape[-1] < 2:
        raise UsageError(
            f"logits of shape {list(logits.shape)} hold no sequence: give [*batch, prefixes, K] with K >= 2 tokens, of "
            "which the last one ends it"
        )
    prefixes, tokens = logits.shape[-2:]
    steps, held = 0, 0
    while held < prefixes:
        held, steps = held + (tokens - 1) ** steps, steps + 1
    if not steps:
        raise UsageError("an empty sequence has nothing to draw: give at least one step, that is one prefix")
    if held != prefixes:
        counts = [sum((tokens - 1) ** s for s in range(t)) for t in range(1, steps + 1)]
        raise UsageError(
            f"{prefixes} prefixes do not belong to sequences of {tokens} tokens: steps 1, 2, ... have "
            f"{', '.join(map(str, counts))} of them"
        )
    return steps
