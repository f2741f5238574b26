"""The two toys of Hooper & Shekhovtsov: their published instances, and their exact gradients."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch
from dvae_bench.bench import protocols
from dvae_bench.tasks.contract import Toy
from dvae_bench.tasks.toys.category_quadratic import CategoryQuadratic
from dvae_bench.tasks.toys.polynomial import Polynomial

FILES = Path(os.environ.get("DVAE_BENCH_DATA", "../shared/data")) / "hooper-2026"


@pytest.mark.parametrize(("k", "instance"), [(4, 0), (8, 0), (8, 1)])
def test_an_instance_is_drawn_in_the_order_of_the_paper(k: int, instance: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(instance)
        square, linear, logits = torch.randn(k, k), torch.randn(k), torch.randn(k)
    toy = CategoryQuadratic(k=k, instance=instance)
    assert torch.equal(toy.params(), logits.unsqueeze(0))
    z = torch.eye(k).unsqueeze(1)  # [k, 1, k]
    f = toy.objective(toy.latent(toy.params()))(z)
    expected = torch.stack([one @ square.T @ square @ one + linear @ one for one in torch.eye(k)])
    torch.testing.assert_close(f, expected)


@pytest.mark.parametrize(
    "values", [{"n": 3}, {"n": 2, "p": 1.5}, {"n": 2, "k": 5, "p": 3.0, "codes": "integer", "target": 0.2}]
)
def test_the_closed_form_of_the_polynomial_is_its_enumeration(values: dict[str, float]) -> None:
    toy = Polynomial("cpu", torch.float64, **values)
    closed, enumerated = toy.exact(), Toy.exact(toy)
    for group in ("value", "cut"):
        torch.testing.assert_close(closed[group], enumerated[group], rtol=1e-12, atol=1e-14)


def test_the_values_of_classes_are_those_of_the_paper_or_integer_codes() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        w = torch.randn(4)
    torch.testing.assert_close(Polynomial().values_of_classes, (w - w.min()) / (w.max() - w.min()))
    integer = Polynomial(k=5, codes="integer").values_of_classes
    assert integer.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_trainings_start_within_a_hundredth_and_apart() -> None:
    start = Polynomial().start(10, torch.Generator().manual_seed(3))
    assert start.shape == (10, 128, 4) and 0.0099 < start.abs().max() <= 0.01
    assert not torch.equal(start[0], start[1])


@pytest.mark.skipif(not FILES.is_dir(), reason="the authors' numbers are not here; set DVAE_BENCH_DATA")
@pytest.mark.parametrize(
    ("name", "file", "columns"),
    [
        ("hooper-bias-variance", "bias-variance.csv", ("squared_bias", "variance")),
        ("hooper-polynomial", "polynomial.csv", ("epoch_1", "epoch_10", "epoch_25", "epoch_50")),
    ],
)
def test_the_protocols_hold_every_number_of_the_files(name: str, file: str, columns: tuple[str, ...]) -> None:
    with (FILES / file).open() as lines:
        theirs = sorted(float(row[column]) for row in csv.DictReader(lines) for column in columns)
    protocol = protocols.load(name)
    assert sorted(method.value(setting) for method, setting in protocol.lines()) == theirs
