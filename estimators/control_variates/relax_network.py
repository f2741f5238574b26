"""RELAX whose control variate is a free network alone: no relaxed evaluation of f, and no derivative of it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Generator
from torch.nn.functional import leaky_relu

from ..contract import Estimate, Estimator
from ..latents import Discrete, LatentSpec, Objective
from ..networks import Network
from .perturbed import Perturbed, controlled_gradient, perturb


class RelaxNetwork(Estimator):
    """z = φ + noise, b = H(z), z̃ ~ q(z given b), and the control variate c(z) = r_ρ(z):

    g = (f(b) - r_ρ(z̃)) ∇ log q(b) + ∇_φ r_ρ(z) - ∇_φ r_ρ(z̃).

    This is `relax` without its term f(σ(z/τ)): one evaluation, and any f, such as a reward. r_ρ is a network with one
    hidden layer of `hidden` LeakyReLU units that starts at 0, so that it starts as REINFORCE; ρ is tuned on the mean of
    g², and in eval() it is frozen.
    """

    formula = (
        r"g = (f(b) - r_\rho(\tilde z))\, \nabla \log q(b) + \nabla_\phi r_\rho(z) - \nabla_\phi "
        r"r_\rho(\tilde z),\quad \tilde z \sim q(z \mid b)"
    )
    name = "relax-network"
    latents = ("bernoulli", "categorical")
    hyperparameters = {"hidden": {"default": 137, "min": 1, "about": "hidden units of the free network"}}
    cost = "1 evaluation"
    reference = (
        "Grathwohl, Choi, Wu, Roeder & Duvenaud 2018, Backpropagation through the void, section 3.2; "
        "hidden units as in Dong, Mnih & Tucker 2020"
    )

    hidden: int

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        activation = partial(leaky_relu, negative_slope=0.3)
        self.free = Network(math.prod(spec.event_shape), self.hidden, 1, activation=activation, start_at_zero=True)

    def sample(self, latent: Discrete, generator: Generator | None) -> Perturbed:
        return perturb(latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: Perturbed) -> Estimate:
        f_hard = f(draw.hard)
        with torch.enable_grad():
            control = self.free(torch.cat([draw.free, draw.conditioned]).flatten(-len(self.spec.event_shape)))
            score = latent.score(draw.hard[0])
            g = controlled_gradient(f_hard[0], control.squeeze(-1), draw, score, self.training)
        tuning_loss = g.square().mean() if self.training else None
        return Estimate(f_hard.mean(0), g.detach(), tuning_loss)
