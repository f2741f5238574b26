"""Somebody else's estimator, measured without rewriting it: a function of the logits, or of f and the logits.

The facts of a file given with --plugin are read without importing it. There, write a class whose body holds the facts
and whose method `fn` is the wrapped code:

    class PackageReinmax(Reparametrised):
        name = "package-reinmax"
        latents = ("categorical",)
        differentiates = True
        cost = "1 evaluation, 1 differentiation"
        reference = "https://github.com/microsoft/ReinMax"

        def fn(self, logits):
            return reinmax(logits, 1.0)[0]

In a notebook or behind an entry point, where facts are read on import, `from_reparam` and `from_surrogate` make the
same class from the function alone.

Foreign code draws from torch's global generators. They are seeded from the given generator while it runs and restored
afterwards. Reading that seed syncs the host once per call, and one seed serves all replicates: `dvae-bench check`
reports both as failures, under `device` and `rows`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from .contract import Claim, Estimate, Estimator
from .latents import Latent, Objective

Surrogated = Tensor | tuple[Tensor, Tensor]
"""A surrogate loss, [*batch] or its mean over the batch; or a pair of it and the value [*batch] if they differ."""


class Foreign(Estimator):
    """Abstract base of both kinds, whose draw is a seed. `claimed` is the claim of the foreign code."""

    claimed: ClassVar[Claim] = Claim()

    def claim(self) -> Claim:
        return self.claimed

    def sample(self, latent: Latent, generator: Generator | None) -> int:
        return int(torch.randint(2**63 - 1, (), generator=generator, device=latent.params.device))


class Reparametrised(Foreign):
    """Abstract: z = fn(φ), relaxed or hard; the gradient is ∇_φ f(fn(φ)) by autograd."""

    claimed = Claim(unbiased=False)
    differentiates = True

    @abstractmethod
    def fn(self, logits: Tensor) -> Tensor:
        """Draw z [*batch, *event] at logits φ [*batch, *event], differentiably."""

    def gradient(self, f: Objective, latent: Latent, draw: int) -> Estimate:
        with seeded(draw, latent.params.device):
            z = self.fn(latent.params.contiguous())
        return Estimate(f(z.unsqueeze(0)).squeeze(0))


class Surrogate(Foreign):
    """Abstract: ℓ = fn(f, φ), whose gradients in φ and in f's own parameters are the estimates.

    ℓ itself should estimate E_q f, as a DiCE loss does; if it does not, fn returns (ℓ, value). A mean over the batch
    gives the right gradients only while its elements weigh the same in the loss, as in loss.sum() and loss.mean().
    """

    @abstractmethod
    def fn(self, f: Objective, logits: Tensor) -> Surrogated:
        """The loss ℓ; f maps z [n, *batch, *event] to [n, *batch] and may be called more than once."""

    def gradient(self, f: Objective, latent: Latent, draw: int) -> Estimate:
        params = latent.params
        batch = latent.batch_shape
        with seeded(draw, params.device):
            answer = self.fn(f, params.contiguous())
        loss, value = answer if isinstance(answer, tuple) else (answer, answer)
        loss = loss if loss.shape == batch else loss.expand(batch)
        return Estimate(value.detach().expand(batch) + (loss - loss.detach()))


def from_reparam(name: str, fn: Callable[[Tensor], Tensor], **facts: Any) -> type[Reparametrised]:
    """The estimator class that wraps fn: logits -> z. facts: latents, claim, cost and other facts of an Estimator.

    Mine = from_reparam("gumbel", partial(gumbel_softmax, tau=0.5), latents=("categorical",))
    """
    return _made(Reparametrised, name, fn, {"cost": "1 evaluation, 1 differentiation"} | facts)


def from_surrogate(name: str, fn: Callable[[Objective, Tensor], Surrogated], **facts: Any) -> type[Surrogate]:
    """The estimator class that wraps fn: (f, logits) -> loss. facts: as for `from_reparam`."""
    return _made(Surrogate, name, fn, {"cost": "1 evaluation"} | facts)


def _made(base: type[Any], name: str, fn: Callable[..., Any], facts: dict[str, Any]) -> type[Any]:
    known = {"latents": ("bernoulli", "categorical"), "reference": name, "__doc__": fn.__doc__} | facts
    known["claimed"] = known.pop("claim", base.claimed)
    return type(name, (base,), known | {"name": name, "fn": staticmethod(fn), "__module__": fn.__module__})


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside the block, and restore them after it."""
    count = 0 if device.type == "cpu" else torch.get_device_module(device).device_count()
    with torch.random.fork_rng(range(count), device_type=device.type):
        torch.manual_seed(seed)
        yield
