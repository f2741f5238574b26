"""Bounds on log p(x) of a trained VAE, always with hard samples, whatever it was trained with."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from .autoencoder import Autoencoder
from .structured import StructuredPrediction


@torch.no_grad()
def elbo_parts(vae: Autoencoder, x: Tensor, generator: Generator | None, chunk: int = 1000) -> dict[str, Tensor]:
    """ "elbo" = -("reconstruction" + "kl") by one draw of each layer, [images]: E_q log p(x given z) - KL(q || p).

    The KL is sampled if the model is trained so, else analytic.
    """
    parts = []
    for images in x.split(chunk):
        q, z = vae.sample_posterior(images, 1, generator)
        reconstruction, kl = vae.reconstruction(images, z)[0], vae.divergence(q, z, generator)
        parts.append({"elbo": -reconstruction - kl, "reconstruction": reconstruction, "kl": kl})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def importance_weighted(
    vae: Autoencoder | StructuredPrediction,
    x: Tensor,
    samples: int,
    generator: Generator | None,
    rows: int = 1000,
) -> Tensor:
    """log (1/K) Σ_k p(x, z_k) / q(z_k given x), [images] (Burda et al. 2016), by passes of `rows` draws.

    Where there is no posterior it is log (1/K) Σ_k p(lower half given z_k).
    """
    bounds = []
    for images in x.split(max(1, min(rows, 100))):
        latent = vae.latent(vae.encode(images))
        log_weight = vae.log_weight(images, latent, generator)
        per_pass = max(1, rows // len(images))
        draws = [min(per_pass, samples - start) for start in range(0, samples, per_pass)]
        log_weights = torch.cat([log_weight(latent.sample_many(n, generator)) for n in draws])
        bounds.append(log_weights.logsumexp(0) - math.log(samples))
    return torch.cat(bounds)
