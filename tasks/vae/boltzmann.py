"""A restricted Boltzmann machine as prior: energy, normaliser Z, and the chains that give the gradient of log Z."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from ...estimators.latents import Bernoulli
from ...estimators.latents.noise import uniform

EACH_STEP, EVALUATED, COMPARED = 12, 20, 16
"""Units of the smaller side up to which log Z is exact in every step and at evaluations, and chains are compared."""
TEMPERATURES, BURN_IN = 1000, 1000
BLOCK = 2**14


class Boltzmann(nn.Module):
    """p(z) = exp(b · z + z₁ᵀ W z₂) / Z of bits z = (z₁, z₂), `left` and `right` of them.

    Given one side, the bits of the other are independent, so that one side is always summed out: states, chains and
    enumerations are of the smaller side, [*, units].

    negative: how ∇ log Z = E_p ∇ (b · z + z₁ᵀ W z₂) is computed. `exact` enumerates the smaller side; `pcd` averages
    over `chains` persistent Gibbs chains, which `advance` moves on by `sweeps` sweeps (Tieleman 2008). `known` is the
    log Z that `measure` found last, the value that goes with the gradient of the chains.
    """

    known: Tensor
    chains: Tensor | None

    def __init__(self, left: int, right: int, negative: str = "pcd", chains: int = 100, sweeps: int = 10) -> None:
        super().__init__()
        self.sizes, self.sweeps, bits = (left, right), sweeps, left + right
        self.bias = nn.Parameter(torch.zeros(bits))
        self.weight = nn.Parameter(0.01 * torch.randn(self.sizes))
        self.register_buffer("known", torch.tensor(bits * math.log(2)))
        start = torch.randint(2, (chains, min(self.sizes))).to(self.bias) if negative == "pcd" else None
        self.register_buffer("chains", start)

    def neg_energy(self, z: Tensor) -> Tensor:
        """b · z + z₁ᵀ W z₂ of z [*, bits], hard or relaxed, [*]. Linear in each bit: its mean is its value at means."""
        one, two = z.split(self.sizes, -1)
        return z @ self.bias + ((one @ self.weight) * two).sum(-1)

    @property
    def sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """The biases of the smaller and of the larger side, and the weights between them, [smaller, larger]."""
        smaller, larger = self._by_size(*self.bias.split(self.sizes))
        return smaller, larger, self.weight if self.sizes[0] <= self.sizes[1] else self.weight.T

    def _by_size(self, one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
        """A pair of (z₁, z₂) as the pair of (smaller, larger) side, and back."""
        return (one, two) if self.sizes[0] <= self.sizes[1] else (two, one)

    def marginal(self, state: Tensor) -> Tensor:
        """log Σ exp(b · z + z₁ᵀ W z₂) over the larger side, at states [n, units] of the smaller one, [n]."""
        own, other, weight = self.sides
        return state @ own + softplus(torch.addmm(other, state, weight)).sum(-1)

    def log_z(self) -> Tensor:
        """log Z with its gradient, []: exact, or the value `known` with the gradient of the chains."""
        if self.chains is None:
            return self.exact_log_z()
        shift = self.marginal(self.chains).mean()
        return self.known + (shift - shift.detach())

    def exact_log_z(self) -> Tensor:
        """log Z by enumeration of the smaller side, []; differentiable."""
        return torch.cat([self.marginal(states) for states in self._states()]).logsumexp(0)

    @torch.no_grad()
    def advance(self, generator: Generator | None) -> None:
        """Move the chains on, if there are any."""
        if self.chains is not None:
            self.chains.copy_(self._gibbs(self.chains, self.sweeps, generator))

    @torch.no_grad()
    def sample(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of z, [n, bits]: exact up to EVALUATED units on one side, else by BURN_IN sweeps from random bits."""
        own, _, _ = self.sides
        if len(own) <= EVALUATED:
            log_p = torch.cat([self.marginal(states) for states in self._states()])
            index = torch.multinomial(log_p.softmax(0), n, replacement=True, generator=generator)
            state = torch.cat(list(self._states()))[index]
        else:
            start = Bernoulli(own.new_zeros(n, len(own))).sample(1, generator)[0]
            state = self._gibbs(start, BURN_IN, generator)
        return self._completed(state, generator)

    @torch.no_grad()
    def dream(self, n: int, generator: Generator | None) -> Tensor:
        """n draws of z [n, bits] for a step of training: of p as far as the chains have come, or by `sample`."""
        if self.chains is None:
            return self.sample(n, generator)
        index = torch.randint(len(self.chains), (n,), generator=generator, device=self.chains.device)
        return self._completed(self.chains[index], generator)

    @torch.no_grad()
    def ais(self, chains: int, temperatures: int, generator: Generator | None) -> Tensor:
        """log Z by annealed importance sampling (Neal 2001; Salakhutdinov & Murray 2008) from uniform bits, [].

        E exp(.) = Z, so that its mean is below log Z: an ELBO with it is too high by as much.
        """
        start = Bernoulli(self.bias.new_zeros(chains, min(self.sizes))).sample(1, generator)[0]
        path = torch.linspace(0, 1, temperatures + 1).tolist()
        return self._at_zero() + _log_mean_exp(self._annealed(start, path, generator))

    @torch.no_grad()
    def reverse_ais(self, draws: Tensor, temperatures: int, generator: Generator | None) -> Tensor:
        """log Z by annealing draws of p [chains, bits] to uniform bits, []: above log Z in the mean if they are exact
        (Burda, Grosse & Salakhutdinov 2015)."""
        start, _ = self._by_size(*draws.split(self.sizes, -1))
        path = torch.linspace(1, 0, temperatures + 1).tolist()
        return self._at_zero() - _log_mean_exp(self._annealed(start, path, generator))

    @torch.no_grad()
    def measure(self, chains: int, generator: Generator | None) -> dict[str, Tensor]:
        """Compute `known` anew, and the errors of the negative phase, each []: "log_z", exact up to EVALUATED units on
        one side, else by AIS, with "log_z_gap", AIS minus reverse AIS; "negative_ratio" up to COMPARED units."""
        found: dict[str, Tensor] = {}
        if min(self.sizes) <= EVALUATED:
            found["log_z"] = self.exact_log_z()
        else:
            found["log_z"] = self.ais(chains, TEMPERATURES, generator)
            draws = self.sample(chains, generator)
            found["log_z_gap"] = found["log_z"] - self.reverse_ais(draws, TEMPERATURES, generator)
        self.known.copy_(found["log_z"])
        if self.chains is not None and min(self.sizes) <= COMPARED:
            found["negative_ratio"] = self.negative_ratio(self.chains)
        return found

    @torch.no_grad()
    def negative_ratio(self, chains: Tensor) -> Tensor:
        """|g - ∇ log Z|² over its mean for independent draws, [], g the gradient by these chains [chains, units]: 1
        where they are as good as independent draws."""
        with torch.enable_grad():
            log_z = self.exact_log_z()
            exact, mine = (
                torch.cat([part.flatten() for part in torch.autograd.grad(of, [self.bias, self.weight])])
                for of in (log_z, self.marginal(chains).mean())
            )
        _, other, weight = self.sides
        square = torch.zeros_like(self.known)
        for states in self._states():
            # One state's gradient consists of the state, the other side's means and their outer product.
            norms = (1 + states.sum(-1)) * (1 + torch.addmm(other, states, weight).sigmoid().square().sum(-1)) - 1
            square += ((self.marginal(states) - log_z).exp() * norms).sum()
        return len(chains) * (mine - exact).square().sum() / (square - exact.square().sum())

    def _completed(self, state: Tensor, generator: Generator | None) -> Tensor:
        """z of states of the smaller side, the larger one drawn given them."""
        _, other, weight = self.sides
        return torch.cat(self._by_size(state, _draw(torch.addmm(other, state, weight), generator)), -1)

    def _states(self) -> Iterator[Tensor]:
        """Every state of the smaller side, in blocks [BLOCK, units]."""
        return Bernoulli(self.bias.new_zeros(min(self.sizes))).blocks(BLOCK)

    def _at_zero(self) -> float:
        """log Z of uniform bits."""
        return len(self.bias) * math.log(2)

    def _gibbs(self, state: Tensor, sweeps: int, generator: Generator | None) -> Tensor:
        """States of the smaller side after this many sweeps over both sides."""
        own, other, weight = self.sides
        for _ in range(sweeps):
            state = _draw(torch.addmm(own, _draw(torch.addmm(other, state, weight), generator), weight.T), generator)
        return state

    def _annealed(self, state: Tensor, path: list[float], generator: Generator | None) -> Tensor:
        """The log weight of each state [chains, units] after the path of inverse temperatures, [chains]."""
        own, other, weight = self.sides
        total = state.new_zeros(len(state))
        for before, after in itertools.pairwise(path):
            at = torch.addmm(other, state, weight)
            total += (after - before) * (state @ own) + (softplus(after * at) - softplus(before * at)).sum(-1)
            state = _draw(after * torch.addmm(own, _draw(after * at, generator), weight.T), generator)
        return total


def _draw(logits: Tensor, generator: Generator | None) -> Tensor:
    """Independent bits of these logits."""
    return uniform(logits.shape, logits, generator).lt_(logits.sigmoid())


def _log_mean_exp(values: Tensor) -> Tensor:
    return values.logsumexp(0) - math.log(len(values))
