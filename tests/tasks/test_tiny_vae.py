"""The enumerable VAE: its exact value is the negative ELBO, and it is the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.tasks.vae.tiny_vae import TinyVae


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_tiny_vae_is_the_negative_elbo(kl: str) -> None:
    """Against numpy: Σ_z q(z|x) [log q(z|x) - log p(z) - log p(x|z)] over all 256 codes."""
    toy = TinyVae("cpu", torch.float64, kl=kl)
    ((w_in, b_in), (w_out, b_out)) = (
        [p.detach().numpy() for p in layer.parameters()] for layer in (toy.vae.encoder, toy.vae.decoder)
    )
    x = toy.x.numpy()
    codes = np.array(list(np.ndindex(*[2] * 8)), dtype=np.float64)
    q = 1 / (1 + np.exp(-(x @ w_in.T + b_in)))
    log_q = codes @ np.log(q).T + (1 - codes) @ np.log1p(-q).T
    pixel = 1 / (1 + np.exp(-(codes @ w_out.T + b_out)))
    log_p = np.log(pixel) @ x.T + np.log1p(-pixel) @ (1 - x).T
    expected = (np.exp(log_q) * (log_q + 8 * np.log(2) - log_p)).sum(0)
    np.testing.assert_allclose(toy.exact()["value"].numpy(), expected, rtol=1e-10)
    assert set(np.unique(x)) == {0.0, 1.0}


def test_tiny_vae_is_the_same_every_time_and_trained() -> None:
    first, second = TinyVae().exact(), TinyVae().exact()
    assert all(torch.equal(first[group], second[group]) for group in first)
    assert float(first["value"].mean()) < 200
