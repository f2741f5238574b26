"""Every estimator's claim of being unbiased, against exact gradients on every toy.

ALPHA is the chance of a false alarm in one group of one test under fresh seeds; with the fixed seed there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dvae_bench.estimators.contract import Claim
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Plugin
from dvae_bench.tasks.contract import Toy

ALPHA = 1e-6
SMALL = {"quadratic": "d=20"}
SPECS = {"bernoulli": LatentSpec.bernoulli(2), "categorical": LatentSpec.categorical(2, 3)}
TABLES = {"bernoulli": "bit-table", "categorical": "category-table"}
WANTED_POWER = 0.2


def claim(name: Name) -> Claim:
    plugin = ESTIMATORS.find(name.family)
    return plugin.load()(SPECS[plugin.facts["latents"][0]], **name.values).claim()


def choices(plugin: Plugin) -> list[str]:
    return [
        f"{key}={{{','.join(map(str, rule['choices']))}}}"
        for key, rule in plugin.fact("hyperparameters", {}).items()
        if "choices" in rule
    ]


def toys() -> list[Name]:
    """Every registered toy, under each value of its parameters that have a list of choices."""
    plugins = [plugin for plugin in TASKS if issubclass(plugin.load(), Toy)]
    sizes = {plugin.name: [SMALL[plugin.name]] if plugin.name in SMALL else [] for plugin in plugins}
    return TASKS.select(f"{plugin.name}:{','.join(sizes[plugin.name] + choices(plugin))}" for plugin in plugins)


def variants() -> list[Name]:
    """Every registered estimator, and again with four draws and under each of its choices."""
    texts = [plugin.name for plugin in ESTIMATORS]
    texts += [f"{plugin.name}:n=4" for plugin in ESTIMATORS if "n" in plugin.fact("hyperparameters", {})]
    texts += [f"{plugin.name}:{choice}" for plugin in ESTIMATORS for choice in choices(plugin)]
    return ESTIMATORS.select(texts)


def is_unbiased(name: Name) -> bool:
    return claim(name).target == "discrete" and claim(name).unbiased


def on_tables(names: list[Name]) -> list[Any]:
    """Each name beside the random table of each kind of latent it is defined for."""
    pairs = [(name, TABLES[kind]) for name in names for kind in ESTIMATORS.find(name.family).facts["latents"]]
    return [pytest.param(name, table, id=f"{name}-{table}") for name, table in pairs]


UNBIASED = [name for name in variants() if is_unbiased(name)]
BIASED = [name for name in variants() if not claim(name).unbiased and claim(name).target in ("discrete", "own-relaxed")]


@pytest.mark.parametrize("toy", toys(), ids=str)
@pytest.mark.parametrize("name", [name for name in UNBIASED if not name.params], ids=str)
def test_unbiased_in_every_group(name: Name, toy: Name, examine: Callable[..., Any]) -> None:
    findings = examine(ESTIMATORS.find(name.family).load(), str(toy))
    assert findings.p.keys() >= {"value", "cut"}
    assert min(findings.p.values()) >= ALPHA, findings.p


@pytest.mark.parametrize(("name", "table"), on_tables([name for name in UNBIASED if name.params]))
def test_unbiased_under_other_parameters(name: Name, table: str, examine: Callable[..., Any]) -> None:
    findings = examine(ESTIMATORS.find(name.family).load(), table, **name.values)
    assert min(findings.p.values()) >= ALPHA, findings.p


@pytest.mark.parametrize(("name", "table"), on_tables(UNBIASED))
def test_a_scale_error_of_a_fifth_would_have_shown(name: Name, table: str, examine: Callable[..., Any]) -> None:
    findings = examine(ESTIMATORS.find(name.family).load(), table, **name.values)
    assert findings.detectable["cut"] < WANTED_POWER
    assert findings.detectable["decoder"] < WANTED_POWER


@pytest.mark.parametrize(("name", "table"), on_tables(BIASED))
def test_a_biased_estimator_is_found_biased(name: Name, table: str, examine: Callable[..., Any]) -> None:
    findings = examine(ESTIMATORS.find(name.family).load(), table, **name.values)
    assert findings.p["cut"] < ALPHA


@pytest.mark.parametrize("table", TABLES.values())
def test_straight_through_is_unbiased_under_the_multilinear_extension(table: str, examine: Callable[..., Any]) -> None:
    findings = examine(ESTIMATORS.find("straight-through").load(), f"{table}:extension=multilinear", rows=2000)
    assert min(findings.p.values()) >= ALPHA, findings.p
    assert findings.detectable["cut"] < WANTED_POWER
