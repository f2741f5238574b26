"""What may change, and when: nothing in eval(), the estimator's own state and parameters in train()."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from ...estimators.tuning import Tuner
from .case import Case, answer, require, seeded, worst

STEPS = 20


def state(case: Case) -> str:
    """Nothing changes in eval(); train() tunes the estimator alone, by its tuning loss, and stays finite."""
    _frozen_in_eval(case)
    _same_estimate_in_train(case)
    _tunes_itself_alone(case)
    return "" if any(True for _ in case.fresh().parameters()) else "nothing to tune"


def _frozen_in_eval(case: Case) -> None:
    estimator, params = case.tuned(), case.params(6)
    before, first = copy.deepcopy(estimator.state_dict()), answer(case, estimator, params)
    for seed in range(1, 4):
        latent = case.latent(params)
        estimate = estimator.estimate(case.objective(latent), latent, seeded(seed))
        require(estimate.tuning_loss is None, "there is a tuning loss in eval()")
    for key, tensor in estimator.state_dict().items():
        require(torch.equal(tensor, before[key]), f"{key} moves in eval()")
    for (what, old), (_, new) in zip(first.tensors, answer(case, estimator, params).tensors, strict=True):
        require(torch.equal(old, new), f"the {what} moves in eval(): a later call with the same generator differs")


def _same_estimate_in_train(case: Case) -> None:
    estimator, params = case.tuned(), case.params(6)
    frozen, moving = answer(case, estimator, params), answer(case, estimator.train(), params)
    for (what, old), (_, new) in zip(frozen.tensors, moving.tensors, strict=True):
        off = worst(new, old)
        require(
            off <= 1e-10 * (1 + float(old.abs().max())),
            f"from the same state and generator, train() gives another {what} than eval(), off by {off:.2g}",
        )


def _tunes_itself_alone(case: Case) -> None:
    spec, x = case.spec, torch.randn(10, 7, generator=seeded(4))
    encoder, decoder = layer(7, math.prod(spec.param_shape)), layer(math.prod(spec.event_shape), 7)
    estimator = case.fresh().train()
    own, tuner, generator = list(estimator.parameters()), Tuner(estimator, lr=0.01), seeded()
    before = [parameter.detach().clone() for parameter in own]
    for _ in range(STEPS):
        latent = case.latent(encoder(x).unflatten(-1, spec.param_shape))
        estimate = estimator.estimate(
            lambda z: (decoder(z.flatten(-len(spec.event_shape))) - x).square().sum(-1), latent, generator
        )
        loss = estimate.tuning_loss
        require(not own or loss is not None, "it has parameters of its own, but no tuning loss in train()")
        require(bool(own) or loss is None, "it has a tuning loss, but no parameters of its own")
        require(loss is None or loss.shape == (), "the tuning loss is not a scalar")
        require(loss is None or loss.requires_grad, "the tuning loss has no gradient: it was detached")
        tuner.step(loss)
    leaked = [p for module in (encoder, decoder) for p in module.parameters() if p.grad is not None]
    require(not leaked, "tuning leaks: gradients arrive in the encoder or the decoder")
    changed = any(not torch.equal(new, old) for new, old in zip(own, before, strict=True))
    require(not own or changed, f"{STEPS} tuning steps change no parameter")
    for key, tensor in estimator.state_dict().items():
        require(tensor.isfinite().all(), f"{key} is not finite after {STEPS} tuning steps")


def layer(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with always the same weights; the global generator is not used."""
    made = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(6)) / inputs**0.5)
    return made
