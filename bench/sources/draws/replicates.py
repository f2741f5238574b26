"""Independent replicates of a toy's gradient in one backward pass."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ....tasks.contract import Toy, flatten
from ..build import Layers
from ..gradient import draw_gradient, toy_problem


def draw_replicates(layers: Layers, task: Toy, count: int, sample: Generator, lower: Generator) -> dict[str, Tensor]:
    """The gradient of each group from one backward pass over `count` replicates.

    "value" and "cut" (the gradient at q's parameters) are [count, D]. The groups of `task.groups()` share their
    parameters over all replicates, so that autograd only gives their sum, [D].
    """
    once = task.params()
    params = once.expand(count, *once.shape)
    loss = draw_gradient(toy_problem(task), layers.top, params, sample, layers.lower(lower)).loss
    shared = task.groups()
    wanted = [params, *(tensor for group in shared.values() for tensor in group)]
    gradients = iter(torch.autograd.grad(loss.sum(), wanted, allow_unused=True, materialize_grads=True))
    result = {"value": loss.detach().flatten(1) if loss.dim() > 1 else loss.detach().unsqueeze(-1)}
    result["cut"] = next(gradients).flatten(1)
    return result | {name: flatten([next(gradients) for _ in group]) for name, group in shared.items()}
