"""The unordered set estimator: k draws without replacement, averaged over all orders of drawing them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import ExponentialFamily, LatentSpec, Objective
from .without_replacement import check_listed, draw_rest, log_rest


def log_completions(log_q: Tensor, log_rest: Tensor) -> list[Tensor]:
    """log v(A), [*batch], for every subset A of the k drawn configurations S, numbered by its bits.

    v(A) is the probability that, once A has been drawn, the next draws without replacement complete it to S:
    v(S) = 1 and v(A) = Σ_{s in S - A} q(s) v(A + s) / (1 - q(A)), with 1 - q(A) = q(S - A) + (1 - q(S)).
    log_q [k, *batch], log_rest = log (1 - q(S)) [*batch].
    """
    each, full = log_q.unbind(0), (1 << log_q.shape[0]) - 1
    log_v = [torch.zeros_like(log_rest)] * (full + 1)
    for subset in reversed(range(full)):
        missing = [s for s in range(len(each)) if not subset >> s & 1]
        following = torch.stack([each[s] + log_v[subset | 1 << s] for s in missing])
        # 1 - q(A) as a sum of positive terms: the difference would lose its digits as q(A) → 1.
        log_left = torch.stack([each[s] for s in missing] + [log_rest]).logsumexp(0)
        log_v[subset] = following.logsumexp(0) - log_left
    return log_v


class UnorderedSet(Estimator):
    """S are k configurations drawn without replacement, p(S) their probability in any order, p^{D-s} that without s:

    g = Σ_{s in S} q(s) R(S, s) [f(s) - Σ_{s' in S} q(s') R^{D-s}(S, s') f(s')] ∇ log q(s),

    R(S, s) = p^{D-s}(S - s) / p(S),   R^{D-s}(S, s') = p^{D-s-s'}(S - s - s') / p^{D-s}(S - s),   R^{D-s}(S, s) = 1.

    Both sets of weights sum to 1, so a constant in f drops out. The value is Σ_s q(s) R(S, s) f(s). All p(S) come from
    one recursion over the 2^k subsets in place of k! orders. Exact once k reaches the number of configurations.
    """

    formula = (
        r"\begin{aligned} g &= \sum_{s \in S} q(s)\, R(S, s) \Big[f(s) - \sum_{s' \in S} q(s')\, R^{D-s}(S, "
        r"s')\, f(s')\Big] \nabla \log q(s), \\ R(S, s) &= \frac{p^{D-s}(S - s)}{p(S)},\quad R^{D-s}(S, s') = "
        r"\frac{p^{D-s-s'}(S - s - s')}{p^{D-s}(S - s)},\ R^{D-s}(S, s) = 1 \end{aligned}"
    )
    name = "unordered-set"
    latents = ("bernoulli", "categorical", "subset")
    hyperparameters = {"k": {"default": 4, "min": 2, "max": 8, "about": "draws of z without replacement"}}
    cost = "min(k, S) evaluations"
    reference = (
        "Kool, van Hoof & Welling 2020, Estimating gradients for discrete random variables by sampling without "
        "replacement"
    )

    k: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        check_listed(self.name, spec)

    def sample(self, latent: ExponentialFamily, generator: Generator | None) -> Tensor:
        drawn = latent.classes(latent.sample(1, generator))
        for _ in range(min(self.k, latent.spec.configurations) - 1):
            drawn = torch.cat([drawn, draw_rest(latent, drawn, generator)])
        return latent.from_classes(drawn)

    def gradient(self, f: Objective, latent: ExponentialFamily, draw: Tensor) -> Estimate:
        f_z, score, log_q = f(draw), latent.score(draw), latent.log_prob(draw).detach()
        log_v = log_completions(log_q, log_rest(latent.log_class_probs, latent.classes(draw)))
        one = [1 << s for s in range(draw.shape[0])]
        # R(S, s) = v({s}) / v({}) and R^{D-s}(S, s') = v({s, s'}) / v({s}), subsets being numbered by their bits.
        first = torch.stack([log_v[s] - log_v[0] for s in one])
        second = torch.stack([torch.stack([log_v[s | other] - log_v[s] for other in one]) for s in one])
        weight = (log_q + first).exp()
        baseline = ((log_q + second).exp() * f_z.detach()).sum(1)
        advantage = weight * (f_z.detach() - baseline)
        return Estimate((weight * f_z).sum(0), (expand_right(advantage, score) * score).sum(0))
