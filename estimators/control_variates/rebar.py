"""REBAR: the relaxed objective as a control variate for the hard one."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from ..contract import Claim, Estimate, Estimator, expand_right
from ..latents import Latent, LatentSpec, Objective


class Perturbed(NamedTuple):
    """The relaxed sample z(φ) and its twin z̃(φ) given b, on a leaf of their own; b = H(z)."""

    leaf: Tensor
    hard: Tensor
    free: Tensor
    conditioned: Tensor


class Rebar(Estimator):
    """z = φ + noise, b = H(z), z̃ ~ q(z given b), and the control variate c(z) = η f(σ(z/τ)):

    g = (f(b) - c(z̃)) ∇ log q(b) + ∇_φ c(z) - ∇_φ c(z̃).

    z̃ moves with φ at fixed noise and b; that path (dv'/dφ in the paper) must be kept. τ and η are tuned on the mean
    of g², which needs second derivatives of f; in eval() they are frozen.
    """

    name = "rebar"
    latents = ("bernoulli", "categorical")
    differentiates = True
    hyperparameters = {"tau": {"default": 0.5, "above": 0.0}, "eta": {"default": 1.0}}
    cost = "3 evaluations, 2 differentiations (second order while tuning)"
    reference = "Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein 2017, REBAR, eq. 7 and appendix"

    tau: float
    eta: float

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.log_tau = nn.Parameter(torch.full((), math.log(self.tau)))
        self.scale = nn.Parameter(torch.full((), self.eta))

    def claim(self) -> Claim:
        return Claim()

    def sample(self, latent: Latent, generator: Generator | None) -> Perturbed:
        leaf = latent.params.detach().requires_grad_()
        with torch.enable_grad():
            own = type(latent)(leaf)
            free = own.perturb(own.noise(1, generator))
            hard = own.harden(free)
            return Perturbed(leaf, hard, free, own.condition(hard, 1, generator))

    def gradient(self, f: Objective, latent: Latent, draw: Perturbed) -> Estimate:
        f_hard = f(draw.hard)
        with torch.enable_grad():
            relaxed = latent.relax(torch.cat([draw.free, draw.conditioned]), self.log_tau.exp())
            control, control_given_hard = (self.scale * f(relaxed)).unbind(0)
            difference = (control - control_given_hard).sum()
            (path,) = torch.autograd.grad(difference, draw.leaf, create_graph=self.training)
            score = latent.score(draw.hard[0])
            g = expand_right(f_hard[0].detach() - control_given_hard, score) * score + path
        tuning_loss = g.square().flatten(1).sum(-1).mean() if self.training else None
        return Estimate(f_hard.mean(0), g.detach(), tuning_loss)
