"""DisARM-IW: a coupled pair of classes, weighted as if it were independent."""

from __future__ import annotations

import torch
from torch import Generator
from torch.nn.functional import logsigmoid

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from .binary_codes import CodedPair, antithetic_pair, node_logits, path, stick_breaking


class DisarmIw(Estimator):
    """z and z' from antithetic stick-breaking bits (see disarm-sb), the classes in ascending order of their logits:

    g = ½ w (f(z) - f(z')) (z - z'),  w = π(z) π(z') / P(z, z') = σ(|v_m|) Π_{c<m} (1 - σ(v_c))² / (1 - 2 σ(v_c))

    at each site, m the first class whose bits differ; zero where z = z'. In this order σ(v_c) <= 1/3 for every c < m
    that can occur, so that every pair of different classes has P > 0 and w < 2. For two classes it is DisARM.
    """

    formula = (
        r"g = \tfrac12 w\,(f(z) - f(z'))(z - z'),\quad w = \frac{\pi(z)\, \pi(z')}{P(z, z')} = \sigma(|v_m|) "
        r"\prod_{c<m} \frac{(1 - \sigma(v_c))^2}{1 - 2 \sigma(v_c)}"
    )
    name = "disarm-iw"
    latents = ("categorical",)
    cost = "2 evaluations"
    reference = "Dong, Mnih & Tucker 2021, Coupled Gradient Estimators for Discrete Latent Variables (DisARM-IW)"

    def sample(self, latent: Discrete, generator: Generator | None) -> CodedPair:
        return antithetic_pair(stick_breaking(latent.params), latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: CodedPair) -> Estimate:
        f_z = f(draw.z)
        v = node_logits(draw.code, latent.params.detach())
        differ = draw.bits[0] != draw.bits[1]
        log_ratio = torch.where(differ, logsigmoid(v.abs()), 2 * logsigmoid(-v) - torch.log1p(-2 * v.sigmoid()))
        read_by_both = path(draw.code, draw.z).prod(0) > 0.5
        w = log_ratio.where(read_by_both, 0.0).sum(-1, keepdim=True).exp()
        difference = (f_z[0] - f_z[1]).detach().unsqueeze(-1).unsqueeze(-1)
        pair = draw.z[0] - draw.z[1]
        return Estimate(f_z.mean(0), (0.5 * w * difference * pair).where(pair != 0, 0.0))
