"""Every discrete toy's exact value and gradients, by closed form, by enumeration and by finite differences.

Those of continuous latents are in test_continuous_toys.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from dvae_bench.estimators.latents import expectation
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import TASKS
from dvae_bench.tasks.contract import Toy
from dvae_bench.tasks.toys.bit import Bit
from dvae_bench.tasks.toys.closed_form import ClosedForm
from dvae_bench.tasks.toys.quadratic import Quadratic
from dvae_bench.tasks.toys.tables import BitTable, CategoryTable
from dvae_bench.tasks.toys.two_layer import TwoLayer
from torch import Tensor

SMALL = {"quadratic": "quadratic:d=6", "bit": "bit:d=4", "polynomial": "polynomial:n=3"}
DISCRETE = [
    cls for cls in (plugin.load() for plugin in TASKS) if issubclass(cls, Toy) and not issubclass(cls, ClosedForm)
]
TOYS = [SMALL.get(cls.name, cls.name) for cls in DISCRETE]
STEP = 1e-4


def make(text: str, dtype: torch.dtype = torch.float64) -> Toy:
    name = Name.parse(text)
    return TASKS.find(name.family).load()("cpu", dtype, **name.values)


def total_loss(toy: Toy, shift: Tensor | float = 0.0) -> float:
    """Σ over rows of the loss, by enumeration, with the top latent's parameters moved by `shift`."""
    with torch.no_grad():
        latent = toy.latent(toy.params() + shift)
        value = expectation(toy.objective(latent, [expectation] * (len(toy.layers) - 1)), latent)
        regulariser = toy.regulariser(latent)
        return float((value if regulariser is None else value + regulariser).sum())


def slope(loss: Callable[[float], float]) -> float:
    """The derivative at 0 by central differences of fourth order."""
    near, far = (loss(h) - loss(-h) for h in (STEP, 2 * STEP))
    return (8 * near - far) / (12 * STEP)


def close_enough(loss: float) -> float:
    """What rounding alone may do to `slope`: a few hundred units in the last place of the loss over the step."""
    return 300 * float(np.finfo(np.float64).eps) * max(1.0, abs(loss)) / STEP


@pytest.mark.parametrize(
    "text",
    ["bit", "bit:d=7,t=.3", "bit:d=2,t=-1.5", "bit:d=3,logit=-4", "quadratic:d=2", "quadratic:d=9"],
)
def test_closed_forms_equal_enumeration(text: str) -> None:
    toy = make(text)
    closed, enumerated = toy.exact(), Toy.exact(toy)
    assert closed.keys() == enumerated.keys() == {"value", "cut"}
    for group in closed:
        torch.testing.assert_close(closed[group], enumerated[group], rtol=1e-12, atol=1e-12)


def test_the_gradient_of_one_bit_is_the_published_one() -> None:
    """p(1 - p)(1 - 2t) = 1/4 x 0.1 at t = .45, and 0.002/4 at RELAX's t = .499."""
    for t, gradient in ((0.45, 0.025), (0.499, 0.0005)):
        exact = Bit(t=t).exact()
        assert float(exact["cut"]) == pytest.approx(gradient, rel=1e-12)
        assert float(exact["value"]) == pytest.approx((t**2 + (1 - t) ** 2) / 2, rel=1e-12)


@pytest.mark.parametrize("text", TOYS)
def test_exact_gradients_at_the_cut_are_those_of_finite_differences(text: str) -> None:
    toy = make(text)
    exact = toy.exact()["cut"]
    within = close_enough(total_loss(toy))
    for index in np.ndindex(*toy.layers[0].param_shape):
        unit = torch.zeros(toy.layers[0].param_shape, dtype=torch.float64)
        unit[index] = 1.0
        rows = exact[(..., *index)].sum()
        assert float(rows) == pytest.approx(slope(lambda h: total_loss(toy, h * unit)), abs=within)  # noqa: B023


@pytest.mark.parametrize("text", TOYS)
def test_exact_gradients_of_groups_are_those_of_finite_differences(text: str) -> None:
    """Along one random direction in each group of shared parameters."""
    toy = make(text)
    exact, within = toy.exact(), 10 * close_enough(total_loss(toy))
    for group, tensors in toy.groups().items():
        generator = torch.Generator().manual_seed(0)
        direction = [torch.randn(t.shape, generator=generator, dtype=t.dtype) / t.numel() ** 0.5 for t in tensors]

        def moved(h: float) -> float:
            with torch.no_grad():
                before = [tensor.clone() for tensor in tensors]  # noqa: B023
                for tensor, step in zip(tensors, direction, strict=True):  # noqa: B023
                    tensor.add_(h * step)
                loss = total_loss(toy)
                for tensor, old in zip(tensors, before, strict=True):  # noqa: B023
                    tensor.copy_(old)
            return loss

        along = torch.cat([step.flatten() for step in direction]) @ exact[group]
        assert float(along) == pytest.approx(slope(moved), abs=within), group


@pytest.mark.parametrize("text", TOYS)
def test_the_exact_value_is_the_loss(text: str) -> None:
    toy = make(text)
    exact = toy.exact()
    assert float(exact["value"].sum()) == pytest.approx(total_loss(toy), rel=1e-12)
    assert exact["cut"].shape == toy.params().shape
    assert exact.keys() == {"value", "cut", *toy.groups()}
    for group, tensors in toy.groups().items():
        assert exact[group].numel() == sum(tensor.numel() for tensor in tensors)
    assert all(tensor.dtype == torch.float64 and not tensor.requires_grad for tensor in exact.values())


@pytest.mark.parametrize("text", TOYS)
def test_float32_and_float64_are_the_same_toy(text: str) -> None:
    single, double = make(text, torch.float32), make(text)
    assert single.params().dtype == torch.float32
    torch.testing.assert_close(single.params().double(), double.params(), rtol=1e-5, atol=1e-5)
    for group in double.exact():
        torch.testing.assert_close(single.exact()[group], double.exact()[group], rtol=1e-5, atol=1e-5)


def test_the_two_layer_toy_has_a_gradient_in_every_group() -> None:
    exact = TwoLayer().exact()
    assert {group: tuple(tensor.shape) for group, tensor in exact.items()} == {
        "value": (),
        "cut": (2,),
        "lower-cut": (2,),
        "between": (4,),
        "decoder": (15,),
    }
    assert all(tensor.abs().sum() > 0.01 for tensor in exact.values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bit:d=0", "bit: d must be a whole number >= 1 and <= 10000, got 0"),
        ("bit-table:d=13", "bit-table: d must be a whole number >= 1 and <= 12, got 13"),
        ("category-table:k=1", "category-table: k must be a whole number >= 2 and <= 16, got 1"),
        ("category-table:n=6,k=5", "category-table: k^n must be at most 4096, got 5^6"),
        ("subset:n=5,k=6", "subset: k must be at most n, got k=6 with n=5"),
        ("subset-distance:n=4", "subset-distance: k must be at most n, got k=5 with n=4"),
        ("quadratic:d=1", "quadratic: d must be a whole number >= 2 and <= 10000, got 1"),
        ("tiny-vae:kl=none", "tiny-vae: kl must be one of analytic, sampled, got 'none'"),
        ("two-layer:d=2", "two-layer has no parameter 'd'; its parameters: none"),
    ],
)
def test_bad_parameters_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(text)
    assert str(caught.value) == sentence


def test_the_largest_tables_still_build() -> None:
    assert CategoryTable(n=6, k=4).width == CategoryTable(n=3, k=16).width == BitTable(d=12).width == 4096
    assert Quadratic(d=10000).exact()["cut"].isfinite().all()


def test_toys_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    for text in TOYS:
        make(text).exact()
    assert torch.equal(before, torch.get_rng_state())
