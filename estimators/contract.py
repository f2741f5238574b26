"""The contract: what an estimator is, and what it returns.

An estimator draws z and returns an Estimate. The graph of its `value` carries everything that autograd can see: f's own
parameters and the path through z. Score-function estimators add `grad`, the part that autograd cannot see: how the
distribution of z changes with its parameters. `splice` joins the two into one differentiable tensor, so that

    loss = estimator(f, Bernoulli(encoder(x))).mean()
    loss.backward()

trains decoder and encoder in one pass, and a layer can stand inside another layer's f. The leading dimensions of the
parameters are independent replicates, so that one call makes many gradient draws: in eval() no replicate affects
another, and no state changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from .costs import documented
from .latents import Latent, LatentSpec, Objective, expectation, kept_wide
from .modes import apart, ordinary
from .names import Name, Unsupported, resolve
from .validation import check_latent, checked, memory_hint, out_of_memory

Lower = Callable[[Objective, Any], Tensor]
"""How f is averaged over a lower stochastic layer: (f, latent) -> [*batch], by an estimator or by `expectation`."""


@dataclass(frozen=True)
class Claim:
    """What an estimator states about itself; `dvae-bench check` tests it.

    target: the quantity whose gradient it estimates: "discrete" (E_q f), "own-relaxed" (E f(ζ) with its relaxed ζ,
    `Estimator.relaxed_target`), "bound" (the bound that it makes of f, `Estimator.target`), "other-law" (E f under
    another distribution than q) or "none" (no gradient of f reaches the parameters).
    unbiased: whether its mean is the gradient of that target for every f. An estimator that is unbiased for its relaxed
    objective is measured against E_q f as well, for which it is biased. exact_for: the functions f for which an
    estimator that is otherwise biased for E_q f is unbiased.
    finite_variance: whether a gradient draw has a finite variance.
    random: False if the estimator itself draws nothing, so that its gradient has no variance of its own.
    """

    target: str = "discrete"
    unbiased: bool = True
    finite_variance: bool = True
    exact_for: str = ""
    random: bool = True


@dataclass(frozen=True)
class Estimate:
    """value [*batch], differentiable; grad [*batch, *param_shape], detached, or None; tuning_loss scalar or None.

    tuning_loss is the loss of the estimator's own parameters, such as those of a control variate: usually the mean
    square of the gradient. Take autograd.grad(tuning_loss, estimator.parameters()), as `Tuner` does, and never
    tuning_loss.backward(), which would also reach the model.
    """

    value: Tensor
    grad: Tensor | None = None
    tuning_loss: Tensor | None = None

    def spliced(self, latent: Latent) -> Tensor:
        """The value with both gradients, [*batch]. Raises ValueError if value or grad has another shape."""
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

    Raises ValueError if grad does not have the shape of params.
    """
    if grad.shape != params.shape:
        raise ValueError(f"grad has shape {tuple(grad.shape)}, but the latent's params have {tuple(params.shape)}")
    return _Splice.apply(value, params, grad)


def expand_right(a: Tensor, like: Tensor) -> Tensor:
    """`a` with trailing dimensions of size 1 added until it broadcasts against `like` from the left."""
    return a.reshape(a.shape + (1,) * (like.dim() - a.dim()))


class Estimator(nn.Module, ABC):
    """Abstract base; every concrete estimator is final. Variants are made by composition, not by inheritance.

    The class body holds the facts as literals, which are read without importing the file: `name`, `aliases`, `latents`,
    `differentiates` (whether f is differentiated in z), `bound`, `hyperparameters`, `cost`, `reference`, and `formula`,
    the main formula of the docstring in KaTeX, where g is the gradient and, for quantisers, ℓ the loss. A
    hyper-parameter has a rule with its default, limits and meaning: {"default": 2, "min": 2, "about": "draws of z"}.

    latents: the kinds of latent it is defined for, out of estimators.latents.KINDS; `latent` below has one of them.

    n: how many z the default `sample` draws: the hyper-parameter of that name if there is one, else 1.

    bound: whether f is the joint energy -log p(x, z), without φ. Such an estimator forms the log weights
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
        """Set each hyper-parameter as an attribute. Raises UsageError for a bad one, Unsupported for a bad latent."""
        super().__init__()
        if spec.kind not in self.latents:
            raise Unsupported(f"{self.name} is defined for {' and '.join(self.latents)} latents, not {spec.kind}")
        self.spec = spec
        for key, value in resolve(self.name, self.hyperparameters, values).items():
            setattr(self, key, value)

    def __repr__(self) -> str:
        """Its name as tables show it, such as `rloo:n=4`; defaults are left out."""
        values = {key: getattr(self, key) for key in self.hyperparameters}
        return str(Name.canonical(self.name, self.hyperparameters, values))

    def claim(self) -> Claim:
        """What this estimator, at these hyper-parameters, claims; by default to be unbiased for ∇ E_q f."""
        return Claim()

    def sample(self, latent: Any, generator: Generator | None) -> Any:
        """Draw everything random that the gradient needs, by default n draws of z, [n, *batch, *event].

        Nothing else draws from `generator`.
        """
        return latent.sample(self.n, generator)

    @abstractmethod
    def gradient(self, f: Objective, latent: Any, draw: Any) -> Estimate:
        """Evaluate f at the draw and estimate the gradient."""

    def target(self, f: Objective, latent: Any) -> Tensor:
        """The exact quantity whose gradient is the reference, [*batch]; by default E_q f(z). It uses no state."""
        return expectation(f, latent)

    def relaxed_target(self, f: Objective, latent: Any) -> Tensor | None:
        """E f(ζ) over the estimator's own relaxed ζ, [*batch], by quadrature; None where it is not known."""
        return None

    @property
    def targets_expectation(self) -> bool:
        """Whether `target` is E_q f(z), which a task may know in closed form."""
        return type(self).target is Estimator.target or self.claim().target in ("discrete", "own-relaxed")

    def lower(self, generator: Generator | None) -> Sequence[Lower]:
        """How f is averaged over each stochastic layer inside it; only `Layered` has any."""
        return ()

    def update(self, draw: Any, estimate: Estimate) -> None:
        """Update running state, such as baselines, after its use. Called in train() only."""

    def estimate(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Estimate:
        """Sample, estimate and, in train(), update the running state.

        Raises UsageError for a latent of another spec, and if f returns anything but [n, *batch] or changes z in place;
        Unsupported if it differentiates f and the value of f has no gradient in z.
        """
        check_latent(self.name, self.spec, latent)
        if ordinary(latent.params):
            return self._estimate(f, latent, generator)
        with apart(f, latent) as (f, latent):
            return self._estimate(f, latent, generator)

    def _estimate(self, f: Objective, latent: Latent, generator: Generator | None) -> Estimate:
        try:
            draw = self.sample(latent, generator)
            estimate = self.gradient(checked(f, latent), latent, draw)
        except RuntimeError as error:
            if out_of_memory(error):
                error.add_note(memory_hint(repr(self), documented(self)[0], latent))
            raise
        if self.training:
            self.update(draw, estimate)
        return estimate

    def _apply(self, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Averages in half precision stop moving, so the estimator of a model in half precision stays in float32."""
        return super()._apply(kept_wide(convert), recurse)

    def forward(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Tensor:
        """The differentiable loss [*batch]: f maps z [n, *batch, *event] to [n, *batch]."""
        return self.estimate(f, latent, generator).spliced(latent)
