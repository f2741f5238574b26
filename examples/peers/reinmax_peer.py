"""The `reinmax` package of ReinMax's authors.

dvae-bench run --plugin examples/peers/reinmax_peer.py -e package-reinmax -e reinmax -t category-table
"""

import torch
from dvae_bench import Claim, Reparametrised
from reinmax import reinmax


class PackageReinmax(Reparametrised):
    """reinmax(logits, 1.0), unmodified; it supports categoricals only, so a bit becomes two classes, logits (φ, 0)."""

    name = "package-reinmax"
    latents = ("bernoulli", "categorical")
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = "https://github.com/microsoft/ReinMax"
    claimed = Claim(unbiased=False, exact_for="f quadratic in each site")

    def fn(self, logits):
        if self.spec.kind == "categorical":
            return reinmax(logits, 1.0)[0]
        return reinmax(torch.stack([logits, torch.zeros_like(logits)], -1), 1.0)[0][..., 0]
