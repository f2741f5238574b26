"""DisARM-SB: DisARM for the bits of a stick-breaking code."""

from __future__ import annotations

from torch import Generator

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from .binary_codes import CodedPair, antithetic_pair, disarm_gradient, stick_breaking


class DisarmSb(Estimator):
    """Bits b_c ~ Bernoulli(σ(v_c)), v_c = φ_c - logsumexp φ_{>c}, test the classes in descending order of their logits;
    z is the first class whose bit is 1. From an antithetic pair of all bits, with classes z and z',

    ∂/∂v_c = ½ (f(z) - f(z')) (b_c - b'_c) σ(|v_c|)  for c <= min(z, z'), the bits that both have read,
             ½ (f(z) - f(z')) (b_c - σ(v_c))         for z' < c <= z, and likewise with the twins exchanged,

    and zero beyond; ∂v/∂φ carries this to φ. It is unbiased in any order; in this one fewer bits are read. For two
    classes it is DisARM.
    """

    formula = (
        r"\frac{\partial}{\partial v_c} = \begin{cases} \tfrac12 (f(z) - f(z'))(b_c - b'_c)\, \sigma(|v_c|) & "
        r"c \le \min(z, z') \\ \tfrac12 (f(z) - f(z'))(b_c - \sigma(v_c)) & z' < c \le z \\ \tfrac12 (f(z') - "
        r"f(z))(b'_c - \sigma(v_c)) & z < c \le z' \\ 0 & \text{beyond} \end{cases}\qquad v_c = \phi_c - "
        r"\operatorname{logsumexp} \phi_{>c}"
    )
    name = "disarm-sb"
    latents = ("categorical",)
    cost = "2 evaluations"
    reference = "Dong, Mnih & Tucker 2021, Coupled Gradient Estimators for Discrete Latent Variables (DisARM-SB)"

    def sample(self, latent: Discrete, generator: Generator | None) -> CodedPair:
        return antithetic_pair(stick_breaking(latent.params, descending=True), latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: CodedPair) -> Estimate:
        f_z = f(draw.z)
        return Estimate(f_z.mean(0), disarm_gradient(f_z.detach(), latent, draw))
