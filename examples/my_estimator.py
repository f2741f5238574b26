"""A plugin: REINFORCE averaged over an antithetic pair of draws."""

import torch
from dvae_bench import Estimate, Estimator, expand_right


class Antithetic(Estimator):
    """With u ~ U(0, 1)^D, b = 1[u < p] and b' = 1[u > 1 - p]: g = ½ (f(b) ∇ log q(b) + f(b') ∇ log q(b'))."""

    name = "antithetic"
    latents = ("bernoulli",)
    cost = "2 evaluations"
    reference = "an example"

    def sample(self, latent, generator):
        p = latent.params.detach().sigmoid()
        u = torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype)
        return torch.stack([u < p, u > 1 - p]).to(p.dtype)

    def gradient(self, f, latent, draw):
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach(), score) * score).mean(0))
