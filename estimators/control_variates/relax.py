"""RELAX: REBAR's control variate plus a free network."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Generator, nn
from torch.nn.functional import leaky_relu

from ..contract import Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from ..networks import Network
from .perturbed import Perturbed, controlled_gradient, perturb


class Relax(Estimator):
    """z = φ + noise, b = H(z), z̃ ~ q(z given b), and the control variate c(z) = η f(σ(z/τ)) + r_ρ(z):

    g = (f(b) - c(z̃)) ∇ log q(b) + ∇_φ c(z) - ∇_φ c(z̃).

    r_ρ is a network with one hidden layer of `hidden` LeakyReLU units that starts at 0, so that RELAX starts as REBAR;
    its input is z, for categoricals log π + Gumbel noise. τ, η and ρ are tuned on the mean of g², which needs second
    derivatives of f; in eval() they are frozen.
    """

    formula = (
        r"g = (f(b) - c(\tilde z))\, \nabla \log q(b) + \nabla_\phi c(z) - \nabla_\phi c(\tilde z),\quad c(z) "
        r"= \eta f(\sigma(z / \tau)) + r_\rho(z),\ \tilde z \sim q(z \mid b)"
    )
    name = "relax"
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {
        "tau": {"default": 0.5, "above": 0.0, "about": "initial temperature of the relaxation, then tuned"},
        "eta": {"default": 1.0, "about": "initial scale of the relaxed f in the control variate, then tuned"},
        "hidden": {"default": 137, "min": 1, "about": "hidden units of the free network"},
    }
    cost = "3 evaluations, 2 differentiations (second order while tuning)"
    reference = (
        "Grathwohl, Choi, Wu, Roeder & Duvenaud 2018, Backpropagation through the void, section 3; "
        "hidden units as in Dong, Mnih & Tucker 2020"
    )

    tau: float
    eta: float
    hidden: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.log_tau = nn.Parameter(torch.full((), math.log(self.tau)))
        self.scale = nn.Parameter(torch.full((), self.eta))
        activation = partial(leaky_relu, negative_slope=0.3)
        self.free = Network(math.prod(spec.event_shape), self.hidden, 1, activation=activation, start_at_zero=True)

    def sample(self, latent: Discrete, generator: Generator | None) -> Perturbed:
        return perturb(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Perturbed) -> Estimate:
        f_hard = f(draw.hard)
        with torch.enable_grad():
            z = torch.cat([draw.free, draw.conditioned])
            r = self.free(z.flatten(-len(self.spec.event_shape))).squeeze(-1)
            control = self.scale * f(latent.relax(z, self.log_tau.exp())) + r
            g = controlled_gradient(f_hard[0], control, draw, latent.score(draw.hard[0]), self.training)
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_hard.mean(0), g.detach(), tuning_loss)
