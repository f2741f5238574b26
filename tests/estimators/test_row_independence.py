"""In eval() no row touches another: permuting and removing rows permutes and removes results, and changes nothing else.

For that the noise of a row must stay with the row. Every random call of an estimator is caught and made for all rows
of a reference batch; the rows kept are then picked from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from dvae_bench.estimators.contract import Estimate, Estimator, expand_right
from dvae_bench.estimators.latents import LATENTS, Latent, LatentSpec, Objective
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.score_function.reinforce import Reinforce
from torch import Generator, Tensor
from torch.nn.functional import softplus
from torch.overrides import TorchFunctionMode

ROWS = 13
KEPT = [7, 0, 12, 3, 11, 5, 1]
SPECS = {"bernoulli": LatentSpec.bernoulli(4), "categorical": LatentSpec.categorical(2, 3)}
CASES = [
    pytest.param(plugin.load(), kind, id=f"{plugin.name}-{kind}")
    for plugin in ESTIMATORS
    for kind in plugin.facts["latents"]
]

FACTORIES = {torch.rand, torch.randn}
IN_PLACE = {Tensor.uniform_, Tensor.normal_, Tensor.exponential_, Tensor.log_normal_, Tensor.geometric_}
UNKNOWN = {torch.randint, torch.randperm, torch.multinomial, torch.rand_like, torch.randn_like, torch.poisson}


class RowNoise(TorchFunctionMode):
    """Random numbers that belong to rows of a batch of ROWS, of which `kept` are present, in this order."""

    def __init__(self, kept: list[int]) -> None:
        super().__init__()
        self.kept = torch.tensor(kept)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in FACTORIES:
            shape = options.pop("size", args[0] if args and not isinstance(args[0], int) else args)
            return self.pick(lambda full: func(full, **options), tuple(shape))
        if func in IN_PLACE:
            made = self.pick(lambda full: func(args[0].new_empty(full), *args[1:], **options), tuple(args[0].shape))
            return args[0].copy_(made)
        if func is torch.bernoulli and len(args) == 1:
            generator, p = options.get("generator"), args[0]
            u = self.pick(lambda full: torch.rand(full, generator=generator, dtype=p.dtype), tuple(p.shape))
            return (u < p).to(p.dtype)
        assert func not in UNKNOWN, f"teach RowNoise to give each row its own {func.__name__}"
        return func(*args, **options)

    def pick(self, draw: Callable[[tuple[int, ...]], Tensor], shape: tuple[int, ...]) -> Tensor:
        dims = [dim for dim, size in enumerate(shape) if size == len(self.kept)]
        assert dims, f"random numbers of shape {shape} are shared by all {len(self.kept)} rows"
        full = list(shape)
        full[dims[0]] = ROWS
        return draw(tuple(full)).index_select(dims[0], self.kept)


def compare(cls: type[Estimator], kind: str) -> None:
    """Fails unless the rows kept give what they gave among all rows."""
    spec, constants = SPECS[kind], torch.Generator().manual_seed(0)
    params = torch.randn(ROWS, *spec.param_shape, generator=constants, dtype=torch.float64)
    weight = torch.randn(math.prod(spec.event_shape), 5, generator=constants, dtype=torch.float64)
    data = torch.randn(ROWS, 5, generator=constants, dtype=torch.float64)
    estimator = cls(spec).eval()

    def run(kept: list[int]) -> tuple[Tensor, Tensor]:
        leaf, x = params[kept].requires_grad_(), data[kept]
        with RowNoise(kept):
            loss = estimator(
                lambda z: softplus(z.flatten(-len(spec.event_shape)) @ weight + x).sum(-1),
                LATENTS[kind](leaf),
                torch.Generator().manual_seed(1),
            )
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    (value, gradient), (few_values, few_gradients) = run(list(range(ROWS))), run(KEPT)
    torch.testing.assert_close(few_values, value[KEPT], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(few_gradients, gradient[KEPT], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("cls", "kind"), CASES)
def test_rows_do_not_touch_each_other(cls: type[Estimator], kind: str) -> None:
    compare(cls, kind)


class BatchBaseline(Reinforce):
    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (expand_right(f_z.detach() - f_z.detach().mean(1), score) * score).mean(0))


class SharedNoise(Reinforce):
    def sample(self, latent: Latent, generator: Generator | None) -> Tensor:
        p = latent.probs.detach()
        return (torch.rand(p.shape[1:], generator=generator, dtype=p.dtype) < p).to(p.dtype).unsqueeze(0)


@pytest.mark.parametrize("cls", [BatchBaseline, SharedNoise])
def test_a_planted_fault_is_caught(cls: type[Estimator]) -> None:
    with pytest.raises(AssertionError):
        compare(cls, "bernoulli")
