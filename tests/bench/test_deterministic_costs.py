"""Costs that are counted rather than timed: against counts by hand, for every estimator, and for wasteful plugins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.costs import Costs, count_costs
from dvae_bench.bench.sources.draws.work import count_calls, count_work
from dvae_bench.bench.sources.timing.timing import timed_steps
from dvae_bench.estimators.contract import Estimate, Unsupported
from dvae_bench.estimators.latents import Latent, Objective
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.estimators.score_function.rloo import Rloo
from dvae_bench.tasks.contract import Toy
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from torch import Tensor

CPU = torch.device("cpu")
X = torch.arange(10.0)
MASK = X > 4


class OnceMore(Rloo):
    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        f(draw[:1])
        return super().gradient(f, latent, draw)


class AllocatesTwice(Rloo):
    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return super().gradient(f, latent, draw.clone())


class Waits(Rloo):
    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        draw[0, 0, 0].item()
        return super().gradient(f, latent, draw)


def toy(name: str = "bit-table") -> Toy:
    return TASKS.find(name).load()()


def rows(cls: type[Rloo], task: Toy) -> dict[str, int]:
    layers = Layers(cls, {}, task, CPU)
    evaluations, differentiations = count_calls(layers, task)
    counted = asdict(count_work(layers, task).costs)
    return counted | {"evaluations": evaluations, "differentiations": differentiations}


def squared() -> None:
    x = X.clone().requires_grad_()
    x.square().sum().backward()


@pytest.mark.parametrize(
    ("code", "costs"),
    [
        (lambda: X + 1, Costs(1, 40, 0)),
        (lambda: X.view(2, 5), Costs(1, 0, 0)),
        (lambda: (X + 1).add_(1), Costs(2, 40, 0)),
        (lambda: torch.empty(3, dtype=torch.float64), Costs(1, 24, 0)),
        (lambda: X.expand(4, 10), Costs(1, 0, 0)),
        (lambda: torch.split(X, 5), Costs(1, 0, 0)),
    ],
)
def test_operations_and_bytes_are_those_counted_by_hand(code: Callable[[], object], costs: Costs) -> None:
    assert count_costs(code) == costs


def test_the_backward_pass_is_counted_too() -> None:
    forward = count_costs(lambda: X.clone().square().sum())
    both = count_costs(squared)
    assert both.operations > forward.operations and both.bytes > forward.bytes


@pytest.mark.parametrize(
    "code",
    [
        lambda: X[3].item(),
        lambda: float(X[3]),
        lambda: bool(MASK[0]),
        lambda: X[MASK],
        lambda: X.clone().index_put_((MASK,), torch.tensor(1.0)),
        lambda: MASK.nonzero(),
        lambda: torch.equal(X, X),
        lambda: X.masked_select(MASK),
        lambda: torch.unique(X),
    ],
)
def test_host_syncs_are_seen(code: Callable[[], object]) -> None:
    assert count_costs(code).syncs >= 1


@pytest.mark.parametrize("code", [lambda: X[torch.tensor([1, 2])], lambda: torch.where(MASK, X, 0.0), lambda: X * MASK])
def test_an_operation_that_does_not_wait_is_no_host_sync(code: Callable[[], object]) -> None:
    assert count_costs(code).syncs == 0


@pytest.mark.parametrize("task", ["bit-table", "category-table", "two-layer"])
@pytest.mark.parametrize("plugin", list(ESTIMATORS), ids=lambda plugin: plugin.name)
def test_every_call_costs_the_same_and_none_waits(plugin: object, task: str) -> None:
    on = toy(task)
    try:
        first, second = (count_work(Layers(plugin.load(), {}, on, CPU), on).costs for _ in range(2))  # type: ignore[attr-defined]
    except Unsupported as reason:
        pytest.skip(str(reason))
    assert first == second and first.operations > 0 and first.bytes > 0
    assert first.syncs == 0


@pytest.mark.parametrize(
    ("cls", "changed"),
    [
        (OnceMore, {"evaluations", "operations", "bytes"}),
        (AllocatesTwice, {"operations", "bytes"}),
        (Waits, {"operations", "syncs"}),
    ],
)
def test_a_wasteful_plugin_is_named(cls: type[Rloo], changed: set[str]) -> None:
    right, wasteful = rows(Rloo, toy()), rows(cls, toy())
    assert {name for name in right if wasteful[name] != right[name]} == changed
    assert all(wasteful[name] > right[name] for name in changed)


def test_training_steps_are_counted_too() -> None:
    task = MnistVae(arch="linear", batch=8)

    def costs(cls: type[Rloo]) -> Costs | None:
        return timed_steps(task, Layers(cls, {}, task, CPU).whole, 0).costs

    right, again, waits = costs(Rloo), costs(Rloo), costs(Waits)
    assert right == again and right is not None and waits is not None
    assert (right.syncs, waits.syncs) == (0, 1) and waits.bytes == right.bytes
