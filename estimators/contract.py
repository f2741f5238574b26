"""The contract: what an estimator is, and what it answers.

An estimator draws z and answers with an Estimate: a `value` whose graph carries everything autograd can see
(f's own parameters, the path through z) and, for score-function types, `grad`: only what autograd cannot see,
how the sampling law moves with its parameters. `splice` joins the two into one differentiable tensor, so

    loss = estimator(f, Bernoulli(encoder(x))).mean()
    loss.backward()

trains decoder and encoder in one pass, and a layer can stand inside another layer's f. To measure, leading
dimensions of the parameters are independent replicates: in eval() no row touches another and nothing moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from .latents import Latent, LatentSpec, Objective, expectation
from .names import Name, Unsupported, resolve
from .validation import check_latent, checked

Lower = Callable[[Objective, Any], Tensor]
"""How a lower stochastic layer is averaged: (f, latent) -> [*batch]; an estimator, or `expectation`."""


@dataclass(frozen=True)
class Claim:
    """What a method says of itself; the referee checks it.

    target: whose gradient it estimates: "discrete" (∇ E_q f), "own-relaxed" (∇ E f(ζ) of its relaxed ζ,
    `Estimator.relaxed_target`), "bound" (of the bound that it makes of f, `Estimator.target`), "other-law", "none"
    (nothing of f reaches the parameters).
    unbiased: for that target, under every f; what is so for its relaxed law is measured against E_q f too, for which it
    is biased. exact_for: the functions f for which it is unbiased all the same.
    random: False where the method itself draws nothing, so that its gradient has no variance to speak of.
    """

    target: str = "discrete"
    unbiased: bool = True
    finite_variance: bool = True
    exact_for: str = ""
    random: bool = True


@dataclass(frozen=True)
class Estimate:
    """value [*batch], differentiable; grad [*batch, *param_shape], detached, or None; tuning_loss scalar or None.

    The runner takes autograd.grad(tuning_loss, estimator.parameters()), never tuning_loss.backward().
    """

    value: Tensor
    grad: Tensor | None = None
    tuning_loss: Tensor | None = None

    def spliced(self, latent: Latent) -> Tensor:
        """The value with both gradients, [*batch]. Raises ValueError when value or grad has another shape."""
        batch = latent.batch_shape
        if self.value.shape != batch:
            raise ValueError(f"value has shape {tuple(self.value.shape)}, but the latent's batch is {tuple(batch)}")
        return self.value if self.grad is None else splice(self.value, latent.params, self.grad)


class _Splice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, params: Tensor, grad: Tensor) -> Tensor:
        ctx.save_for_backward(grad)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = ctx.saved_tensors
        return g, expand_right(g, grad) * grad, None


def splice(value: Tensor, params: Tensor, grad: Tensor) -> Tensor:
    """`value` [*batch], whose backward also sends upstream * grad to params [*batch, *param_shape].

    Raises ValueError when grad does not have the shape of params.
    """
    if grad.shape != params.shape:
        raise ValueError(f"grad has shape {tuple(grad.shape)}, but the latent's params have {tuple(params.shape)}")
    return _Splice.apply(value, params, grad)


def expand_right(a: Tensor, like: Tensor) -> Tensor:
    """`a` with trailing dimensions of size 1 added until it broadcasts against `like` from the left."""
    return a.reshape(a.shape + (1,) * (like.dim() - a.dim()))


class Estimator(nn.Module, ABC):
    """Abstract base; every concrete estimator is final. Variants are made by composition, not by inheritance.

    The class body holds the facts as literals, read without importing the file: `name`, `aliases`, `latents`,
    `differentiates` (whether f is differentiated in z), `bound`, `hyperparameters`, `cost`, `reference`, and `formula`,
    the docstring's main one as KaTeX sets it: g is the gradient, for quantisers ℓ the loss. A hyper-parameter has a
    rule, its default, limits and what it is: {"default": 2, "min": 2, "about": "draws of z"}.

    latents: the kinds it is defined for, of estimators.latents.KINDS; `latent` below is of one of them.

    n: how many z the default `sample` draws; the hyper-parameter of that name where there is one, else 1.

    bound: f is the joint energy -log p(x, z), with no φ in it; the estimator makes the log weights
    -f(z) - log q(z) itself, and its loss is minus its bound on log p(x).
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    latents: ClassVar[tuple[str, ...]]
    differentiates: ClassVar[bool] = False
    bound: ClassVar[bool] = False
    hyperparameters: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    cost: ClassVar[str]
    reference: ClassVar[str]
    formula: ClassVar[str] = ""
    n: int = 1

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        """Set each hyper-parameter as an attribute. Raises UsageError on a bad one, Unsupported on a bad latent."""
        super().__init__()
        if spec.kind not in self.latents:
            raise Unsupported(f"{self.name} is defined for {' and '.join(self.latents)} latents, not {spec.kind}")
        self.spec = spec
        for key, value in resolve(self.name, self.hyperparameters, values).items():
            setattr(self, key, value)

    def __repr__(self) -> str:
        """Its name as a table shows it, `rloo:n=4`: defaults left out."""
        values = {key: getattr(self, key) for key in self.hyperparameters}
        return str(Name.canonical(self.name, self.hyperparameters, values))

    def claim(self) -> Claim:
        """What this estimator, with these hyper-parameters, says it estimates; by default ∇ E_q f, without bias."""
        return Claim()

    def sample(self, latent: Any, generator: Generator | None) -> Any:
        """Everything random the gradient needs, the only place that uses the generator for z; by default n draws of z,
        [n, *batch, *event].
        """
        return latent.sample(self.n, generator)

    @abstractmethod
    def gradient(self, f: Objective, latent: Any, draw: Any) -> Estimate:
        """Evaluate f at the draw and estimate the gradient."""

    def target(self, f: Objective, latent: Any) -> Tensor:
        """What the gradient is measured against, exactly, [*batch]: E_q f(z), but for bounds. No state enters it."""
        return expectation(f, latent)

    def relaxed_target(self, f: Objective, latent: Any) -> Tensor | None:
        """E f(ζ) under the method's own relaxed law, [*batch], by quadrature; None where that is not known."""
        return None

    @property
    def targets_expectation(self) -> bool:
        """Whether `target` is E_q f(z), which a task may know in closed form."""
        return type(self).target is Estimator.target or self.claim().target in ("discrete", "own-relaxed")

    def lower(self, generator: Generator | None) -> Sequence[Lower]:
        """How each stochastic layer inside f is averaged; none are, but for `Layered`."""
        return ()

    def update(self, draw: Any, estimate: Estimate) -> None:
        """Move running state (baselines), after use. Called in train() only."""

    def estimate(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Estimate:
        """Sample, estimate and, in train(), move the running state.

        Raises UsageError for a latent of another spec, and where f answers with anything but [n, *batch].
        """
        check_latent(self.name, self.spec, latent)
        draw = self.sample(latent, generator)
        estimate = self.gradient(checked(f, latent), latent, draw)
        if self.training:
            self.update(draw, estimate)
        return estimate

    def forward(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Tensor:
        """The differentiable loss [*batch]: f maps z [n, *batch, *event] to [n, *batch]."""
        return self.estimate(f, latent, generator).spliced(latent)
