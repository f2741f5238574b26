"""Local expectation gradients: every site summed out in turn, given one draw of all the others."""

from __future__ import annotations

from torch import Tensor

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective, sites


class LocalExpectation(Estimator):
    """With z ~ q and z_{-d} its other sites, for every site d and class c:

    g_dc = π_dc (f(z_{-d}, c) - f̄_d),   f̄_d = Σ_c' π_dc' f(z_{-d}, c');   for bits g_d = p_d (1 - p_d) (f(1) - f(0)).

    This is REINFORCE with the noise of each site summed out (Rao-Blackwell), and exact for one site. z is one of the K
    configurations of every site, so that D (K - 1) others are evaluated. The value is the mean of f̄_d over sites.
    """

    formula = r"g_{dc} = \pi_{dc}\, (f(z_{-d}, c) - \bar f_d),\quad \bar f_d = \sum_{c'} \pi_{dc'} f(z_{-d}, c')"
    name = "local-expectation"
    aliases = ("leg", "indecrater")
    latents = ("bernoulli", "categorical")
    cost = "D * (K - 1) + 1 evaluations"
    reference = (
        "Titsias & Lázaro-Gredilla 2015, Local expectation gradients for black box variational inference; "
        "De Smet, Sansone & Zuidberg Dos Martires 2023, IndeCateR"
    )

    def gradient(self, f: Objective, latent: Discrete, draw: Tensor) -> Estimate:
        pi = latent.log_class_probs.exp()
        f_class = sites.every_class(f, latent, latent.classes(draw))
        mean = (pi * f_class).sum(-1, keepdim=True)
        grad = pi * (f_class - mean).detach()
        return Estimate(mean.squeeze(-1).mean(-1), latent.coordinates(grad))
