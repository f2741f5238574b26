"""In eval() no replicate affects another: permuting and removing replicates does the same to the results, and no more.

To test this, the noise of a replicate must stay with it. Every random call of an estimator is intercepted and made for
all replicates of a reference batch; those kept are then picked from it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...estimators.contract import Estimator
from .case import FEATURES, Case, Failed, Skipped, global_generators, gradient_at, require, seeded, worst

ROWS = (13, 1009)
"""The sizes of the batch: a small one, and one as large as those that are measured."""
KEPT = [7, 0, 12, 3, 11, 5, 1]
TOLERANCE = 1e-12

FACTORIES = {torch.rand, torch.randn}
LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
IN_PLACE = {Tensor.uniform_, Tensor.normal_, Tensor.exponential_, Tensor.log_normal_, Tensor.geometric_}
UNKNOWN = {torch.randperm, torch.multinomial, torch.poisson, torch.normal, Tensor.multinomial}
BERNOULLI = {torch.bernoulli, Tensor.bernoulli}


def rows(case: Case) -> str:
    """No replicate affects another in eval(), in a small batch or in a large one."""
    estimator = case.tuned()
    for batch in ROWS:
        _independent(case, estimator, batch)
    return ""


def _independent(case: Case, estimator: Estimator, batch: int) -> None:
    params = case.params(batch)
    data = torch.randn(batch, FEATURES, generator=seeded(4), dtype=torch.float64)

    def run(kept: list[int]) -> tuple[Tensor, Tensor]:
        leaf = params[kept].requires_grad_()
        latent = case.latent(leaf)
        f = case.objective(latent, data[kept])
        with RowNoise(batch, kept), global_generators(0):
            loss = copy.deepcopy(estimator)(f, latent, seeded(1))
        return loss.detach(), gradient_at(leaf, loss)

    everything, few = run(list(range(batch))), run(KEPT)
    for what, every_row, found in zip(("value", "gradient"), everything, few, strict=True):
        expected = every_row[KEPT]
        off = worst(found, expected)
        require(
            off <= TOLERANCE * (1 + float(expected.abs().max())),
            f"replicates affect each other in eval(): in a batch of {batch}, the {what} of one changes by {off:.2g} if "
            "others are removed",
        )


class RowNoise(TorchFunctionMode):
    """Random numbers that belong to replicates of a batch, of which `kept` are present, in this order."""

    def __init__(self, batch: int, kept: list[int]) -> None:
        super().__init__()
        self.batch = batch
        self.kept = torch.tensor(kept)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in FACTORIES:
            shape = options.pop("size", args[0] if args and not isinstance(args[0], int) else args)
            return self.pick(lambda full: func(full, **options), tuple(shape))
        if func in LIKE:
            return self.pick(lambda full: LIKE[func](full, dtype=args[0].dtype, **options), tuple(args[0].shape))
        if func is torch.randint:
            *bounds, shape = args if "size" not in options else (*args, options.pop("size"))
            draw: Callable[..., Any] = func
            return self.pick(lambda full: draw(*bounds, full, **options), tuple(shape))
        if func in IN_PLACE:
            made = self.pick(lambda full: func(args[0].new_empty(full), *args[1:], **options), tuple(args[0].shape))
            return args[0].copy_(made)
        if func in BERNOULLI and len(args) == 1:
            generator, p = options.get("generator"), args[0]
            u = self.pick(lambda full: torch.rand(full, generator=generator, dtype=p.dtype), tuple(p.shape))
            return (u < p).to(p.dtype)
        if func in UNKNOWN:
            raise Skipped(f"it draws with {func.__name__}, whose numbers this check cannot assign to replicates")
        return func(*args, **options)

    def pick(self, draw: Callable[[tuple[int, ...]], Tensor], shape: tuple[int, ...]) -> Tensor:
        dims = [dim for dim, size in enumerate(shape) if size == len(self.kept)]
        if not dims and any(size and size % len(self.kept) == 0 for size in shape):
            raise Skipped(f"it draws random numbers of shape {shape}, which this check cannot assign to replicates")
        if not dims:
            raise Failed(f"random numbers of shape {shape} are shared by all {len(self.kept)} replicates")
        full = list(shape)
        full[dims[0]] = self.batch
        return draw(tuple(full)).index_select(dims[0], self.kept)
