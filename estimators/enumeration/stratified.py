"""REINFORCE with stratified draws: a Latin hypercube in the uniforms that choose the classes."""

from __future__ import annotations

from torch import Generator, Tensor

from ..contract import Estimate, Estimator, expand_right
from ..latents import Discrete, Objective
from ..latents.noise import uniform


class Stratified(Estimator):
    """At every site u_i = (s_i + v_i) / n with s a random permutation of the strata 0 to n - 1 and v_i ~ U(0, 1), and
    z_i is the class that the inverse of the site's cdf gives for u_i:

    g = (1/n) Σ_i f(z_i) ∇ log q(z_i).

    Each z_i alone has distribution q, so g is unbiased; together, a site of two classes takes each ⌊n π_c⌋ or ⌈n π_c⌉
    times. The variance is never above that of n independent draws for one site, and at most n / (n - 1) times that for
    several. A leave-one-out baseline would be biased, since the draws depend on each other.
    """

    formula = (
        r"g = \tfrac1n \sum_i f(z_i)\, \nabla \log q(z_i),\quad z_i = F^{-1}(u_i),\ u_i = (s_i + v_i) / n,\ "
        r"v_i \sim U(0, 1),\ s \text{ a permutation of } 0, \dots, n - 1"
    )
    name = "stratified"
    aliases = ("latin-hypercube",)
    latents = ("bernoulli", "categorical")
    hyperparameters = {"n": {"default": 2, "min": 2, "about": "draws of z, one in each stratum"}}
    cost = "n evaluations"
    reference = "McKay, Beckman & Conover 1979 (Latin hypercube sampling); Owen 1997 (its variance bound)"

    n: int

    def sample(self, latent: Discrete, generator: Generator | None) -> Tensor:
        shape = (self.n, *latent.site_shape)
        stratum = uniform(shape, latent.params, generator).argsort(0)
        u = (stratum + uniform(shape, latent.params, generator)) / self.n
        return latent.icdf(u)

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach(), score) * score).mean(0))
