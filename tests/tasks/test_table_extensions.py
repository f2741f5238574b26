"""Random tables: one discrete function, continued to relaxed z in four ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.estimators.latents import expectation
from dvae_bench.tasks.contract import Toy
from dvae_bench.tasks.toys.tables import BitTable, CategoryTable, multilinear


@pytest.mark.parametrize("cls", [BitTable, CategoryTable])
def test_all_extensions_are_one_function_of_discrete_z(cls: type[Toy]) -> None:
    """Equal at every configuration; the table's entries, each once."""
    values = []
    for extension in ("none", "multilinear", "bumpy", "cubic"):
        toy = cls("cpu", torch.float64, extension=extension)
        latent = toy.latent(toy.params())
        values.append(toy.objective(latent)(latent.support()).detach())
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[1], values[2]) and torch.equal(values[2], values[3])
    torch.testing.assert_close(values[0].sort().values, toy.table.detach().flatten().sort().values)  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", [BitTable, CategoryTable])
def test_extensions_differ_between_the_bits(cls: type[Toy]) -> None:
    toys = [cls("cpu", torch.float64, extension=extension) for extension in ("multilinear", "bumpy", "none", "cubic")]
    latent = toys[0].latent(toys[0].params())
    middle = latent.probs.detach().unsqueeze(0).requires_grad_()
    smooth, bumpy, rough, cubic = (toy.objective(latent)(middle) for toy in toys)
    assert not torch.equal(smooth, bumpy) and not torch.equal(bumpy, cubic) and not torch.equal(smooth, cubic)
    torch.testing.assert_close(smooth, expectation(toys[0].objective(latent), latent).unsqueeze(0))
    (flat,) = torch.autograd.grad(rough.sum(), middle, allow_unused=True, materialize_grads=True)
    assert not flat.any()
    assert [toy.differentiable for toy in toys] == [True, True, False, True]


def test_the_multilinear_extension_is_that_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)
    site = torch.rand(5, 3, 3, generator=generator, dtype=torch.float64)
    expected = sum(
        table[index] * site[:, 0, index[0]] * site[:, 1, index[1]] * site[:, 2, index[2]]
        for index in np.ndindex(3, 3, 3)
    )
    torch.testing.assert_close(multilinear(table, site), expected)
