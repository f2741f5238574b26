"""GRPO: advantages normalised within the group of one prompt."""

from __future__ import annotations

from torch import Tensor

from ..contract import Claim, Estimate, Estimator, scored
from ..latents import Objective, Sequence

EPSILON = 1e-4


class Grpo(Estimator):
    """g = (1/n) Σ_k (f(z_k) - f̄)/(s + 1e-4) (1/L_k) Σ_t ∇ log q_t, with f̄ and s the mean and the standard deviation of
    the n draws of one prompt, and L_k the number of tokens of draw k.

    s differs between prompts, so that prompts of small rewards weigh more; 1/L_k favours short sequences among good
    ones and long ones among bad ones. length=no leaves 1/L_k out. s divides by n - 1, as torch.std.
    """

    formula = r"g = \tfrac1n \sum_k \frac{f(z_k) - \bar f}{s + \epsilon}\, \frac{1}{L_k} \sum_t \nabla \log q_t(z_{kt})"
    name = "grpo"
    latents = ("sequence",)
    hyperparameters = {
        "n": {"default": 4, "min": 2, "about": "draws of z, the group"},
        "length": {
            "default": "yes",
            "choices": ("yes", "no"),
            "about": "divide the sum over tokens by the length of the sequence",
        },
    }
    cost = "n evaluations"
    reference = "Shao et al. 2024, DeepSeekMath, equations 3 and 21; epsilon as in TRL"

    n: int
    length: str

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        f_z = f(draw)
        centred = f_z - f_z.mean(0)
        # As f_z.std(0), which warns at an empty batch.
        advantage = centred / ((centred.square().sum(0) / (self.n - 1)).sqrt() + EPSILON)
        if self.length == "yes":
            advantage = advantage / latent.mask(draw).sum(-1)
        return scored(f_z.mean(0), latent, draw, advantage)
