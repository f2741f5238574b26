"""The contract: what an estimator is, and what it returns.

An estimator draws z and returns an Estimate. The graph of its `value` carries everything that autograd can see: f's own
parameters and the path through z. Score-function estimators add `grad`, the part that autograd cannot see: how the
distribution of z changes with its parameters. It is the gradient at the latent's parameters or, for a policy that draws
z token by token, at log q of the drawn tokens, a weight per token. `splice` joins the two into one differentiable
tensor, so that

    loss = estimator(f, Bernoulli(encoder(x))).mean()
    loss.backward()

trains decoder and encoder in one pass, and a layer can stand inside another layer's f. The leading dimensions of the
parameters are independent replicates, so that one call makes many gradient draws: in eval() no replicate affects
another, and no state changes.
"""

from __future__ import annotations

import collections.abc
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from .backward import attach, recomputing, transformed
from .costs import documented
from .latents import Latent, LatentSpec, Objective, expand_right, expectation, kept_wide
from .modes import apart, ordinary
from .names import Name, Unsupported, UsageError, resolve
from .settings import Made, set_values
from .steps import Steps
from .validation import check_latent, checked, memory_hint, out_of_memory

Lower = Callable[[Objective, Any], Tensor]
"""How f is averaged over a lower stochastic layer: (f, latent) -> [*batch], by an estimator or by `expectation`."""


@dataclass(frozen=True)
class Claim:
    """What an estimator states about itself; `dvae-bench check` tests it.

    target: the quantity whose gradient it estimates: "discrete" (E_q f), "own-relaxed" (E f(ζ) with its relaxed ζ,
    `Estimator.relaxed_target`), "bound" (the bound that it makes of f, its own `target`), "other-law" (E f under
    another distribution than q, its own `target`), "penalised" (E_q f plus a penalty on q, its own `target`) or "none"
    (no gradient of f reaches the parameters).
    unbiased: whether its mean is the gradient of that target for every f. An estimator that is unbiased for its relaxed
    objective is measured against E_q f as well, for which it is biased. exact_for: the functions f for which an
    estimator that is otherwise biased for E_q f is unbiased.
    proportional: whether its mean, if biased, is the gradient times one constant c > 0 for all data points.
    finite_variance: whether a gradient draw has a finite variance.
    random: False if the estimator itself draws nothing, so that its gradient has no variance of its own.
    """

    target: str = "discrete"
    unbiased: bool = True
    finite_variance: bool = True
    exact_for: str = ""
    random: bool = True
    proportional: bool = False


@dataclass(frozen=True)
class Estimate:
    """value [*batch], differentiable; grad [*batch, *param_shape], detached, or None; tuning_loss scalar or None.

    at: the tensor that grad is the gradient at, [*batch, ...], if that is not the latent's parameters: log q of tokens.

    tuning_loss is the loss of the estimator's own parameters, such as those of a control variate: usually the mean
    square of the gradient. Take autograd.grad(tuning_loss, estimator.parameters()), as `Tuner` does, and never
    tuning_loss.backward(), which would also reach the model.
    """

    value: Tensor
    grad: Tensor | None = None
    tuning_loss: Tensor | None = None
    at: Tensor | None = None

    def spliced(self, latent: Latent, *, twice: bool = False) -> Tensor:
        """The value with both gradients, [*batch]; `twice` as in `splice`.

        Raises ValueError if value or grad has another shape.
        """
        batch = latent.batch_shape
        if self.value.shape != batch:
            raise ValueError(f"value has shape {tuple(self.value.shape)}, but the latent's batch is {tuple(batch)}")
        if self.grad is None:
            return self.value
        return splice(self.value, latent.params if self.at is None else self.at, self.grad, twice=twice)


def scored(value: Tensor, latent: Latent, z: Tensor, weight: Tensor, *, mean: bool = True) -> Estimate:
    """The estimate of this value and of the gradient (1/n) Σ_k w_k ∇ log q(z_k); without 1/n if not `mean`.

    weight: [n, *batch], or one per token of a sequence, [n, *batch, T], which then multiplies ∇ log q of that token.
    """
    grad, at = latent.weighted_score(z, weight.detach(), mean=mean)
    return Estimate(value, grad, at=at)


def splice(value: Tensor, params: Tensor, grad: Tensor, *, twice: bool = False) -> Tensor:
    """`value` [*batch], whose backward also sends upstream * grad to params [*batch, *param_shape].

    A second derivative raises UsageError; with twice=True it is taken with grad held constant. Raises ValueError if
    grad does not have the shape of params.
    """
    if grad.shape != params.shape:
        raise ValueError(f"grad has shape {tuple(grad.shape)}, but the latent's params have {tuple(params.shape)}")
    return attach(value, params, _weighted, grad, twice=twice)


def _weighted(upstream: Tensor, grad: Tensor) -> Tensor:
    return expand_right(upstream, grad) * grad


class Estimator(nn.Module, metaclass=Made):
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

    def __setattr__(self, name: str, value: Any) -> None:
        """A hyper-parameter of a made estimator is set by `set`, so that no assignment is ignored."""
        if name in self.hyperparameters and "_made" in self.__dict__:
            self.set(**{name: value})
        else:
            super().__setattr__(name, value)

    def set(self, **values: Any) -> None:
        """Change hyper-parameters, `estimator.set(tau=3.0)`; `estimator.tau = 3.0` does the same.

        Parameters that start from one of them, such as REBAR's temperature, start from it anew. The rest, such as
        baselines and counted steps, stays. Raises UsageError for a bad value, and for one that decides which parameters
        and state the estimator has.
        """
        set_values(self, values)

    def step(self) -> None:
        """Count one step of the optimiser. Call it after each, if a step takes several calls of the estimator.

        Schedules (`rate`) count calls in train() until the first `step()`, and only steps from it on.
        """
        for module in self.modules():
            if isinstance(module, Steps):
                module.step()

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

    def stand_in(self, latent: Any, zeta: Tensor) -> Tensor:
        """What stands for z [n, *batch, *event] in a part of f that is linear in each site of z, where f is evaluated
        at ζ: a tensor with the mean and the mean gradient of z given ζ where the estimator knows it, else ζ."""
        return zeta

    def lower(self, generator: Generator | None) -> collections.abc.Sequence[Lower]:
        """How f is averaged over each stochastic layer inside it; only `Layered` has any."""
        return ()

    def update(self, draw: Any, estimate: Estimate) -> None:
        """Update running state, such as baselines, after its use. Called in train() only."""

    def estimate(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Estimate:
        """Sample, estimate and, in train(), update the running state, which checkpointing does once only.

        Raises UsageError for a latent of another spec, if f returns anything but [n, *batch] or changes z in place, for
        a generator under checkpointing, and if state would be updated inside a transform of torch.func; Unsupported if
        it differentiates f and the value of f has no gradient in z.
        """
        check_latent(self.name, self.spec, latent)
        if recomputing() and generator is not None:
            raise UsageError("checkpointing restores torch's global generator only: pass no generator inside it")
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
        if self.training and not recomputing():
            self._move(draw, estimate)
        return estimate

    def _move(self, draw: Any, estimate: Estimate) -> None:
        if not transformed():
            self.update(draw, estimate)
            return
        try:
            self.update(draw, estimate)
        except RuntimeError as error:
            raise UsageError(
                f"{self.name} in train() updates its running state, which torch.func (grad, vmap) does not allow: call "
                f"eval() on it first"
            ) from error

    def _apply(self, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Averages in half precision stop moving, so the estimator of a model in half precision stays in float32."""
        return super()._apply(kept_wide(convert), recurse)

    def forward(self, f: Objective, latent: Latent, generator: Generator | None = None) -> Tensor:
        """The differentiable loss [*batch]: f maps z [n, *batch, *event] to [n, *batch]."""
        return self.estimate(f, latent, generator).spliced(latent)
