"""Hand-written gradient draws of some estimators on the toy f(b) = mean_d (b_d - t)², one batched pass each.

The control variates of REBAR and RELAX keep their initial parameters, as ours do while draws are measured.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import leaky_relu

TARGET, TEMPERATURE, TINY = 0.45, 0.5, 2.0**-25
Rows = Callable[[Tensor, Generator], Tensor]


def uniform(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator).clamp_min_(TINY)


def f(b: Tensor) -> Tensor:
    return (b - TARGET).square().mean(-1)


def reinforce(theta: Tensor, generator: Generator) -> Tensor:
    p = theta.sigmoid()
    b = (uniform(p.shape, generator) < p).float()
    return f(b)[:, None] * (b - p)


def rloo(theta: Tensor, generator: Generator) -> Tensor:
    b = (uniform((2, *theta.shape), generator) < theta.sigmoid()).float()
    c = f(b)
    return 0.5 * (c[0] - c[1])[:, None] * (b[0] - b[1])


def arm(theta: Tensor, generator: Generator) -> Tensor:
    u, p = uniform(theta.shape, generator), theta.sigmoid()
    return (f((u > 1 - p).float()) - f((u < p).float()))[:, None] * (u - 0.5)


def disarm(theta: Tensor, generator: Generator) -> Tensor:
    u, p = uniform(theta.shape, generator), theta.sigmoid()
    b, twin = (u > 1 - p).float(), (u < p).float()
    return 0.5 * (f(b) - f(twin))[:, None] * (b - twin) * theta.abs().sigmoid()


def straight_through(theta: Tensor, generator: Generator) -> Tensor:
    theta = theta.detach().requires_grad_()
    p = theta.sigmoid()
    fixed = p.detach()
    b = (uniform(p.shape, generator) < fixed).float()
    return torch.autograd.grad(f(b + (p - fixed)).sum(), theta)[0]


def gumbel_softmax(theta: Tensor, generator: Generator) -> Tensor:
    theta = theta.detach().requires_grad_()
    soft = ((theta + torch.logit(uniform(theta.shape, generator))) / TEMPERATURE).sigmoid()
    return torch.autograd.grad(f(soft).sum(), theta)[0]


def st_gumbel_softmax(theta: Tensor, generator: Generator) -> Tensor:
    theta = theta.detach().requires_grad_()
    perturbed = theta + torch.logit(uniform(theta.shape, generator))
    soft = (perturbed / TEMPERATURE).sigmoid()
    hard = (perturbed.detach() > 0).float()
    return torch.autograd.grad(f(hard + (soft - soft.detach())).sum(), theta)[0]


def rebar(theta: Tensor, generator: Generator) -> Tensor:
    return controlled(theta, generator, lambda z: f((z / TEMPERATURE).sigmoid()))


def relax(size: int) -> Rows:
    hidden, last = nn.Linear(size, 137), nn.Linear(137, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)

    def control(z: Tensor) -> Tensor:
        return f((z / TEMPERATURE).sigmoid()) + last(leaky_relu(hidden(z), 0.3)).squeeze(-1)

    return lambda theta, generator: controlled(theta, generator, control)


def controlled(theta: Tensor, generator: Generator, control: Callable[[Tensor], Tensor]) -> Tensor:
    """(f(b) - c(z̃)) (b - p) + ∇c(z) - ∇c(z̃)."""
    theta = theta.detach().requires_grad_()
    free = theta + torch.logit(uniform(theta.shape, generator))
    b = (free.detach() > 0).float()
    v, p = uniform(theta.shape, generator), theta.sigmoid()
    conditioned = theta + torch.logit(torch.where(b > 0.5, v * p + (1 - p), v * (1 - p)), 1e-6)
    twin = control(conditioned)
    (path,) = torch.autograd.grad((control(free) - twin).sum(), theta)
    return (f(b) - twin.detach())[:, None] * (b - p.detach()) + path


def minimal_rows(name: str, size: int) -> Rows:
    """The hand-written draws of an estimator."""
    rows: dict[str, Rows] = {
        "reinforce": reinforce,
        "rloo": rloo,
        "arm": arm,
        "disarm": disarm,
        "rebar": rebar,
        "relax": relax(size),
        "gumbel-softmax": gumbel_softmax,
        "st-gumbel-softmax": st_gumbel_softmax,
        "straight-through": straight_through,
    }
    return rows[name]


class Moments:
    """Mean and variance of each coordinate, and the mean of each block, in float64."""

    def __init__(self, size: int) -> None:
        self.n, self.blocks = 0, []
        self.mean, self.squares = torch.zeros(2, size, dtype=torch.float64)

    def add(self, draws: Tensor) -> None:
        """One block of draws [rows, D]: centred in their own dtype, merged in float64."""
        count = len(draws)
        centre = draws.mean(0)
        within = (draws - centre).square_().sum(0).double()
        shift = centre.double() - self.mean
        self.squares += within + shift.square() * (self.n * count / (self.n + count))
        self.mean += shift * (count / (self.n + count))
        self.blocks.append(centre)
        self.n += count
