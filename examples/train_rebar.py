"""Train a small VAE with REBAR; a Tuner adapts its temperature and scale to reduce the variance of its gradient."""

import torch
from dvae_bench import Bernoulli, LatentSpec, Tuner, estimator

torch.manual_seed(0)
encoder, decoder = torch.nn.Linear(784, 20), torch.nn.Linear(20, 784)
x = (torch.rand(64, 784) < torch.rand(784)).float()
rebar = estimator("rebar", LatentSpec.bernoulli(20)).train()
tuner = Tuner(rebar)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)


def f(z):
    return torch.nn.functional.binary_cross_entropy_with_logits(
        decoder(z), x.expand(*z.shape[:-1], 784), reduction="none"
    ).sum(-1)


for step in range(100):
    latent = Bernoulli(encoder(x))
    estimate = rebar.estimate(f, latent)
    tuner.step(estimate.tuning_loss)
    loss = (estimate.spliced(latent) + latent.kl_to_prior()).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step}: negative ELBO {loss.item():.1f}, temperature {rebar.log_tau.exp().item():.3f}")
