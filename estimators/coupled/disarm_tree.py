"""DisARM-Tree: DisARM for the bits of a balanced tree."""

from __future__ import annotations

from torch import Generator

from ..contract import Estimate, Estimator
from ..latents import Discrete, Objective
from .binary_codes import CodedPair, antithetic_pair, balanced_tree, disarm_gradient


class DisarmTree(Estimator):
    """The classes in their own order are the leaves of a balanced binary tree; the bit b_i ~ Bernoulli(σ(v_i)) of an
    inner node i chooses its upper half, v_i = logsumexp φ_upper - logsumexp φ_lower, and z is where the path ends.
    From an antithetic pair of all bits, with classes z and z',

    ∂/∂v_i = ½ (f(z) - f(z')) (b_i - b'_i) σ(|v_i|)  for a node on both paths,
             ½ (f(z) - f(z')) (b_i - σ(v_i))         on the path of z alone, and likewise with the twins exchanged,

    and zero elsewhere; ∂v/∂φ carries this to φ. Paths have length log₂ K. For two classes it is DisARM.
    """

    formula = (
        r"\frac{\partial}{\partial v_i} = \begin{cases} \tfrac12 (f(z) - f(z'))(b_i - b'_i)\, \sigma(|v_i|) & "
        r"i \text{ on both paths} \\ \tfrac12 (f(z) - f(z'))(b_i - \sigma(v_i)) & i \text{ on the path of } z "
        r"\text{ alone} \\ \tfrac12 (f(z') - f(z))(b'_i - \sigma(v_i)) & i \text{ on the path of } z' \text{ "
        r"alone} \\ 0 & \text{elsewhere} \end{cases}\qquad v_i = \operatorname{logsumexp} \phi_{\text{upper}} "
        r"- \operatorname{logsumexp} \phi_{\text{lower}}"
    )
    name = "disarm-tree"
    latents = ("categorical",)
    cost = "2 evaluations"
    reference = "Dong, Mnih & Tucker 2021, Coupled Gradient Estimators for Discrete Latent Variables (DisARM-Tree)"

    def sample(self, latent: Discrete, generator: Generator | None) -> CodedPair:
        return antithetic_pair(balanced_tree(latent.params), latent, generator)

    def gradient(self, f: Objective, latent: Discrete, draw: CodedPair) -> Estimate:
        f_z = f(draw.z)
        return Estimate(f_z.mean(0), disarm_gradient(f_z.detach(), latent, draw))
