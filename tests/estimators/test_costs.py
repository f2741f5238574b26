"""What each estimator does with f, as recorded, against the literal cost it documents."""

from __future__ import annotations

import pytest
import torch
from dvae_bench.bench.draws import Layers, count_calls
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Plugin

TABLES = ("bit-table", "category-table")
CALLS = {
    "disarm": {"bit-table": (2, 0)},
    "exact": {"bit-table": (2**6, 0), "category-table": (4**2, 0)},
    "exact:block=10": {"bit-table": (2**6, 0), "category-table": (4**2, 0)},
    "gumbel-softmax": {"bit-table": (1, 1), "category-table": (1, 1)},
    "rebar": {"bit-table": (3, 2), "category-table": (3, 2)},
    "reinforce": {"bit-table": (1, 0), "category-table": (1, 0)},
    "reinforce:n=5": {"bit-table": (5, 0), "category-table": (5, 0)},
    "reinforce-ema": {"bit-table": (1, 0), "category-table": (1, 0)},
    "reinforce-ema:n=5": {"bit-table": (5, 0), "category-table": (5, 0)},
    "rloo": {"bit-table": (2, 0), "category-table": (2, 0)},
    "rloo:n=4": {"bit-table": (4, 0), "category-table": (4, 0)},
    "st-gumbel-softmax": {"bit-table": (1, 1), "category-table": (1, 1)},
    "straight-through": {"bit-table": (1, 1), "category-table": (1, 1)},
}
"""Evaluations and differentiations of one draw on 6 bits and on 2 sites of 4 classes; where missing, unsupported."""


def recorded(name: Name, table: str) -> tuple[int, int] | None:
    task = TASKS.find(table).load()()
    try:
        layers = Layers(ESTIMATORS.find(name.family).load(), name.values, task, torch.device("cpu"))
    except Unsupported:
        return None
    return count_calls(layers, task)


@pytest.mark.parametrize("text", CALLS)
def test_recorded_calls_are_the_documented_ones(text: str) -> None:
    found = {table: recorded(Name.parse(text), table) for table in TABLES}
    assert {table: calls for table, calls in found.items() if calls is not None} == CALLS[text]


@pytest.mark.parametrize("name", [plugin.name for plugin in ESTIMATORS])
def test_every_estimator_is_in_the_table(name: str) -> None:
    calls = [recorded(Name(name), table) for table in TABLES]
    assert name in CALLS, f"add its documented cost to CALLS; recorded on {TABLES}: {calls}"


@pytest.mark.parametrize("plugin", list(ESTIMATORS), ids=lambda plugin: plugin.name)
def test_differentiation_is_declared(plugin: Plugin) -> None:
    cls = plugin.load()
    for table in TABLES:
        calls = recorded(Name(plugin.name), table)
        if calls is not None:
            assert (calls[1] > 0) == cls.differentiates
