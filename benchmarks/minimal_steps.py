"""Training steps of some estimators, hand-written from their formulas: the upper limit for the cost of `TrainStep`.

Every step does the work of ours: the same network, one minibatch, analytic KL, fused Adam, every hard evaluation trains
the decoder, and REBAR and RELAX tune their parameters. It returns the loss of each image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, leaky_relu, logsigmoid, one_hot

Loss = Callable[[Vae, Tensor, Generator], Tensor]
TINY = 2.0**-25


def minimal_step(task: MnistVae, loss_of: Loss, generator: Generator) -> tuple[Callable[[Tensor], Tensor], Vae]:
    """A function of one optimiser step on the mean of `loss_of` [batch], and the VAE that it trains.

    The backward pass of `loss_of` is the estimator's gradient.
    """
    vae = task.model(0)
    optimizer = torch.optim.Adam(vae.parameters(), task.lr, fused=True)

    def step(x: Tensor) -> Tensor:
        loss = loss_of(vae, x, generator)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        return loss.detach()

    return step, vae


def uniform(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator).clamp_min_(TINY)


def reconstruction(vae: Vae, x: Tensor, z: Tensor) -> Tensor:
    logits = vae.decoder(z)
    return binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def bernoulli_kl(logits: Tensor, p: Tensor) -> Tensor:
    return (p * logits + logsigmoid(-logits)).sum(-1) + 200 * math.log(2)


def categorical_kl(log_pi: Tensor, pi: Tensor) -> Tensor:
    return (pi * log_pi).sum((-2, -1)) + 20 * math.log(10)


def carrying(value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """`value` [batch] plus a term of value 0 whose gradient with respect to the logits is `gradient`."""
    surrogate = (gradient * logits).sum(-1)
    return value + (surrogate - surrogate.detach())


def reinforce(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    logits = vae.encoder(x)
    p = logits.sigmoid()
    z = (uniform(p.shape, generator) < p).float()
    f = reconstruction(vae, x, z)
    return carrying(f + bernoulli_kl(logits, p), logits, f.detach()[:, None] * (z - p.detach()))


def rloo4(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    logits = vae.encoder(x)
    p = logits.sigmoid()
    z = (uniform((4, *p.shape), generator) < p).float()
    f = reconstruction(vae, x, z)
    advantage = (f - f.mean(0)).detach() / 3
    gradient = (advantage.unsqueeze(-1) * (z - p.detach())).sum(0)
    return carrying(f.mean(0) + bernoulli_kl(logits, p), logits, gradient)


def disarm(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    logits = vae.encoder(x)
    p = logits.sigmoid()
    u, fixed = uniform(p.shape, generator), p.detach()
    z = torch.stack([u > 1 - fixed, u < fixed]).float()
    f = reconstruction(vae, x, z)
    apart = 0.5 * (f[0] - f[1]).detach()
    gradient = apart[:, None] * (z[0] - z[1]) * logits.detach().abs().sigmoid()
    return carrying(f.mean(0) + bernoulli_kl(logits, p), logits, gradient)


def straight_through(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    logits = vae.encoder(x)
    p = logits.sigmoid()
    fixed = p.detach()
    z = (uniform(p.shape, generator) < fixed).float()
    return reconstruction(vae, x, z + (p - fixed)) + bernoulli_kl(logits, p)


def gumbel_softmax(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    logits = vae.encoder(x)
    noise = torch.logit(uniform(logits.shape, generator))
    return reconstruction(vae, x, ((logits + noise) / 0.5).sigmoid()) + bernoulli_kl(logits, logits.sigmoid())


def gumbel_softmax_categorical(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    logits = vae.encoder(x).view(-1, 20, 10)
    log_pi = logits.log_softmax(-1)
    noise = -(-uniform(logits.shape, generator).log()).log()
    z = ((logits + noise) / 0.5).softmax(-1)
    return reconstruction(vae, x, z.flatten(1)) + categorical_kl(log_pi, log_pi.exp())


def reinmax(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    """The loss at z, where dz/dlogits is set to 2 h (1 - h) - ½ p (1 - p), h = ½ (p + z)."""
    logits = vae.encoder(x)
    p = logits.sigmoid()
    fixed = p.detach()
    z = (uniform(p.shape, generator) < fixed).float()
    half = 0.5 * (fixed + z)
    slope = 2 * half * (1 - half) - 0.5 * fixed * (1 - fixed)
    moved = slope * logits
    return reconstruction(vae, x, z + (moved - moved.detach())) + bernoulli_kl(logits, p)


def reinmax_categorical(vae: Vae, x: Tensor, generator: Generator) -> Tensor:
    """As its authors write it: 2 softmax(logits + sg(log π_half - logits)) - ½ π gives z its derivative."""
    logits = vae.encoder(x).view(-1, 20, 10)
    log_pi = logits.log_softmax(-1)
    pi = log_pi.exp()
    exponential = -uniform(logits.shape, generator).log()
    z = one_hot((pi.detach() / exponential).argmax(-1), 10).float()
    half = (0.5 * (pi.detach() + z)).log()
    surrogate = 2 * ((half - logits).detach() + logits).softmax(-1) - 0.5 * pi
    z = z + (surrogate - surrogate.detach())
    return reconstruction(vae, x, z.flatten(1)) + categorical_kl(log_pi, pi)


class Rebar:
    """(f(b) - c(z̃)) (b - p) + ∇c(z) - ∇c(z̃), c(z) = η f(σ(z/τ)); Adam tunes τ and η on the mean of its square."""

    def __init__(self) -> None:
        self.log_tau, self.eta = torch.tensor(0.5).log().requires_grad_(), torch.tensor(1.0, requires_grad=True)
        self.start(self.log_tau, self.eta)

    def start(self, *parameters: Tensor) -> None:
        self.parameters = parameters
        self.optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)

    def control(self, z: Tensor, f: Tensor) -> Tensor:
        """c(z) [2, batch] at z [2, batch, 200], given f(σ(z/τ)) [2, batch]."""
        return self.eta * f

    def __call__(self, vae: Vae, x: Tensor, generator: Generator) -> Tensor:
        logits = vae.encoder(x)
        theta = logits.detach().requires_grad_()
        free = theta + torch.logit(uniform(theta.shape, generator))
        b = (free.detach() > 0).float()
        v = uniform(theta.shape, generator)
        q = theta.sigmoid()
        conditioned = theta + torch.logit(torch.where(b > 0.5, v * q + (1 - q), (1 - v) * (1 - q)), 1e-6)
        hard = reconstruction(vae, x, b)
        z = torch.stack([free, conditioned])
        control, twin = self.control(z, reconstruction(vae, x, (z / self.log_tau.exp()).sigmoid()))
        (path,) = torch.autograd.grad((control - twin).sum(), theta, create_graph=True)
        gradient = (hard.detach() - twin)[:, None] * (b - q.detach()) + path
        slopes = torch.autograd.grad(gradient.square().mean(), self.parameters)
        for parameter, slope in zip(self.parameters, slopes, strict=True):
            parameter.grad = slope
        self.optimizer.step()
        return carrying(hard + bernoulli_kl(logits, logits.sigmoid()), logits, gradient.detach())


class Relax(Rebar):
    """REBAR's control variate plus a network of z with 137 LeakyReLU units, whose last layer starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = nn.Linear(200, 137), nn.Linear(137, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.start(self.log_tau, self.eta, *self.hidden.parameters(), *self.last.parameters())

    def control(self, z: Tensor, f: Tensor) -> Tensor:
        return self.eta * f + self.last(leaky_relu(self.hidden(z), 0.3)).squeeze(-1)


def minimal_loss(name: str, arch: str) -> Loss:
    """The hand-written loss of an estimator; REBAR and RELAX have a state of their own."""
    losses: dict[str, Loss] = {
        "reinforce": reinforce,
        "rloo:n=4": rloo4,
        "disarm": disarm,
        "straight-through": straight_through,
        "gumbel-softmax": gumbel_softmax_categorical if arch == "categorical" else gumbel_softmax,
        "reinmax": reinmax_categorical if arch == "categorical" else reinmax,
        "rebar": Rebar(),
        "relax": Relax(),
    }
    return losses[name]
