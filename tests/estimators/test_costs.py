"""The grammar of `cost`; that the cost is the one measured is a property of `dvae-bench check`."""

from __future__ import annotations

import pytest
from dvae_bench.estimators.costs import Cost
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.registry import ESTIMATORS, Plugin


@pytest.mark.parametrize(
    ("text", "evaluations", "differentiations"),
    [
        ("1 evaluation", 1, 0),
        ("n evaluations", 5, 0),
        ("1 evaluation, 1 differentiation", 1, 1),
        ("3 evaluations, 2 differentiations (second order while tuning)", 3, 2),
        ("2 * D evaluations (no, (really))", 14, 0),
        ("K * (K - 1) / 2 + 1 evaluations", 7, 0),
        ("K**D evaluations", 4**7, 0),
        ("min(n, 3) + -1 + n // 2 evaluations, max(n, D) differentiations", 4, 7),
    ],
)
def test_a_cost_is_arithmetic(text: str, evaluations: int, differentiations: int) -> None:
    assert Cost.parse(text).at(7, 4, {"n": 5, "tau": 0.5}) == (evaluations, differentiations)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evaluations",
        "n",
        "n evaluations and 2 differentiations",
        "two evaluations each",
        "2 n evaluations",
        "2^D evaluations",
        "0.5 evaluations",
        "abs(n) evaluations",
        "n.real evaluations",
        "[n][0] evaluations",
        "__import__('os') evaluations",
        "2 differentiations",
    ],
)
def test_a_malformed_cost_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cost"):
        Cost.parse(text)


@pytest.mark.parametrize("text", ["m evaluations", "n / 2 evaluations", "n // (D - 7) evaluations", "mode evaluations"])
def test_a_cost_without_a_whole_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the cost `"):
        Cost.parse(text).at(7, 4, {"n": 5, "mode": "a"})


@pytest.mark.parametrize("plugin", list(ESTIMATORS), ids=lambda plugin: plugin.name)
def test_every_cost_is_arithmetic_in_what_there_is(plugin: Plugin) -> None:
    assert Cost.parse(plugin.facts["cost"]).names() <= {"D", "K", "S", *plugin.facts.get("hyperparameters", {})}
