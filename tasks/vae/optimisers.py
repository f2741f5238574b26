"""Optimisers by name, fused where torch has it, and schedules of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.9
STAGES = ((0.02, 0.1), (0.6, 1.0), (0.75, 1 / 3), (0.95, 0.1), (1.0, 1 / 33))
"""The share of the steps at which each stage ends, and its factor of the learning rate."""


def make_optimizer(
    name: str, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0, eps: float = 1e-8
) -> Optimizer:
    """adam and radam add weight_decay θ to the gradient, adamw subtracts lr weight_decay θ from the parameters θ; sgd
    has momentum .9, and no eps. torch fuses all of these but radam."""
    if name == "radam":
        return torch.optim.RAdam(parameters, lr, eps=eps, weight_decay=weight_decay, foreach=True)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr, momentum=MOMENTUM, weight_decay=weight_decay, fused=True)
    make = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return make(parameters, lr, eps=eps, weight_decay=weight_decay, fused=True)


def descend_at_once(parameter: Tensor, lr: float) -> None:
    """Plain SGD on one parameter, outside any optimiser: one step whenever backward() reaches it."""

    def descend(parameter: Tensor) -> None:
        assert parameter.grad is not None
        with torch.no_grad():
            parameter.sub_(parameter.grad, alpha=lr)
        parameter.grad = None

    parameter.register_post_accumulate_grad_hook(descend)


def rate_factor(schedule: str, warmup: int, step: int, steps: int) -> float:
    """The factor of the learning rate at `step`, 1 to `steps`: min(1, step / warmup) times

    constant  1
    cosine    (1 + cos(π s)) / 2, s from 0 at the end of the warm-up to 1 at the last step
    step      1, from half of the steps .1, from three quarters .01
    stages    .1 for 2 % of the steps, 1 to 60 %, 1/3 to 75 %, .1 to 95 %, then 1/33 (the published code of DVAE#)
    """
    warm = min(1.0, step / warmup) if warmup else 1.0
    if schedule == "cosine":
        share = max(0, step - warmup) / max(1, steps - warmup)
        return warm * (1 + math.cos(math.pi * share)) / 2
    if schedule == "step":
        return warm * 0.1 ** ((2 * step > steps) + (4 * step > 3 * steps))
    if schedule == "stages":
        return warm * next(factor for end, factor in STAGES if step <= end * steps)
    return warm
