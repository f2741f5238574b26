"""REBAR: the relaxed objective as a control variate for the hard one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, nn

from ..contract import Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from .perturbed import Perturbed, controlled_gradient, perturb


class Rebar(Estimator):
    """z = φ + noise, b = H(z), z̃ ~ q(z given b), and the control variate c(z) = η f(σ(z/τ)):

    g = (f(b) - c(z̃)) ∇ log q(b) + ∇_φ c(z) - ∇_φ c(z̃).

    z̃ depends on φ at fixed noise and b; that path (dv'/dφ in the paper) must be kept. τ and η are tuned on the mean
    of g², which needs second derivatives of f; in eval() they are frozen.
    """

    formula = (
        r"g = (f(b) - c(\tilde z))\, \nabla \log q(b) + \nabla_\phi c(z) - \nabla_\phi c(\tilde z),\quad c(z) "
        r"= \eta f(\sigma(z / \tau)),\ \tilde z \sim q(z \mid b)"
    )
    name = "rebar"
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "tau": {"default": 0.5, "above": 0.0, "about": "initial temperature of the relaxation, then tuned"},
        "eta": {"default": 1.0, "about": "initial scale of the control variate, then tuned"},
    }
    cost = "3 evaluations, 2 differentiations (second order while tuning)"
    reference = "Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein 2017, REBAR, eq. 7 and appendix"

    tau: float
    eta: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.log_tau = nn.Parameter(torch.full((), math.log(self.tau)))
        self.scale = nn.Parameter(torch.full((), self.eta))

    def sample(self, latent: Discrete, generator: Generator | None) -> Perturbed:
        return perturb(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Perturbed) -> Estimate:
        f_hard = f(draw.hard)
        with torch.enable_grad():
            relaxed = latent.relax(torch.cat([draw.free, draw.conditioned]), self.log_tau.exp())
            control = self.scale * f(relaxed)
            g = controlled_gradient(f_hard[0], control, draw, latent.score(draw.hard[0]), self.training)
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_hard.mean(0), g.detach(), tuning_loss)
