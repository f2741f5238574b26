"""Bounds on log p(x) of a trained VAE, with hard samples whatever it was trained with."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from .model import Vae


@torch.no_grad()
def elbo(vae: Vae, x: Tensor, generator: Generator | None, chunk: int = 1000) -> Tensor:
    """E_q log p(x, z) - log q(z given x) by one draw of z, with the KL analytic where the model has it so; [images]."""
    bounds = []
    for images in x.split(chunk):
        latent = vae.latent(vae.encode(images))
        loss = vae.objective(images, latent)(latent.sample(1, generator))[0]
        regulariser = vae.regulariser(latent)
        bounds.append(-loss if regulariser is None else -loss - regulariser)
    return torch.cat(bounds)


@torch.no_grad()
def importance_weighted(vae: Vae, x: Tensor, samples: int, generator: Generator | None, rows: int = 5000) -> Tensor:
    """log (1/K) Σ_k p(x, z_k) / q(z_k given x), [images] (Burda et al. 2016), streamed in chunks of `rows` draws."""
    bounds = []
    for images in x.split(max(1, min(rows, 100))):
        latent = vae.latent(vae.encode(images))
        total = torch.full(images.shape[:1], -math.inf, device=x.device)
        per_pass = max(1, rows // len(images))
        for start in range(0, samples, per_pass):
            z = latent.sample(min(per_pass, samples - start), generator)
            total = torch.logaddexp(total, vae.log_weight(images, z, latent).logsumexp(0))
        bounds.append(total - math.log(samples))
    return torch.cat(bounds)
