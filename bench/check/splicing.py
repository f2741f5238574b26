"""loss.backward(): one pass that delivers the gradients which autograd can see and those which it cannot."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .case import Case, require, seeded, worst
from .state import layer


def splice(case: Case) -> str:
    """One backward fills the gradients of encoder and decoder; terms of f in φ keep their gradient."""
    spec, x = case.spec, torch.randn(10, 7, generator=seeded(4))
    encoder, decoder = layer(7, math.prod(spec.param_shape)), layer(math.prod(spec.event_shape), 7)
    estimator = case.fresh().train()
    latent = case.latent(encoder(x).unflatten(-1, spec.param_shape))
    loss = estimator(lambda z: (decoder(z.flatten(-len(spec.event_shape))) - x).square().sum(-1), latent, seeded())
    require(loss.requires_grad, "the loss has no gradient at all")
    loss.mean().backward()
    trained = [("f's own parameters", decoder)]
    if estimator.claim().target != "none":
        trained.append(("the encoder", encoder))
    for what, module in trained:
        for parameter in module.parameters():
            require(
                parameter.grad is not None and parameter.grad.abs().sum() > 0, f"{what} get no gradient from the loss"
            )
    leaked = [name for name, parameter in estimator.named_parameters() if parameter.grad is not None]
    require(not leaked, f"the loss trains {', '.join(leaked)}: only the tuning loss may")
    _analytic_part(case)
    return ""


def _analytic_part(case: Case) -> None:
    """f + h(params) adds ∇h to the value's own gradient, whatever z is."""
    leaf, site_dims = case.params(4).requires_grad_(), tuple(range(1, 1 + len(case.spec.param_shape)))
    latent = case.latent(leaf)
    f = case.objective(latent)

    def seen(h: Tensor | float) -> Tensor:
        value = case.tuned().estimate(lambda z: f(z) + h, latent, seeded()).value.sum() + 0 * leaf.sum()
        return torch.autograd.grad(value, leaf, retain_graph=True)[0]

    added = seen(leaf.sin().sum(site_dims)) - seen(0.0)
    off = worst(added, leaf.detach().cos())
    require(off <= 1e-10, f"a term of f in the latent's parameters alone loses its gradient, off by {off:.2g}")
