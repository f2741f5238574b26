"""Claims that test_conformance.py does not reach: other hyper-parameters, real digits, what is exact for some f alone.

ALPHA is the chance of a false alarm in one group of one test under fresh seeds; with the fixed seed there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dvae_bench.bench.check.bias import FEW, TABLES, judge, toys
from dvae_bench.bench.check.case import Case, Skipped
from dvae_bench.bench.rows import RELAXED
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, Plugin
from dvae_bench.tasks.vae.tiny_half import LAYERS
from dvae_bench.tasks.vae.tiny_vae import BITS

ALPHA = 1e-6
WANTED_POWER = 0.2
DIGITS = LatentSpec.bernoulli(BITS)
DEEP = Name.parse("tiny-vae:deeper=2")
HALF = "tiny-half"
DEFAULTS = [Name(plugin.name) for plugin in ESTIMATORS if "bernoulli" in plugin.facts["latents"]]
ONE_HOT_TABLES = [TABLES[kind] for kind in ("bernoulli", "categorical")]
BIASED = ("straight-through", "st-gumbel-softmax", "gumbel-softmax")


def choices(plugin: Plugin) -> list[str]:
    rules = plugin.fact("hyperparameters", {}).items()
    return [f"{key}={{{','.join(map(str, rule['choices']))}}}" for key, rule in rules if "choices" in rule]


def variants() -> list[Name]:
    """Every registered estimator that has them with four draws, and under each of its choices."""
    texts = [f"{plugin.name}:n=4" for plugin in ESTIMATORS if "n" in plugin.fact("hyperparameters", {})]
    texts += [f"{plugin.name}:{choice}" for plugin in ESTIMATORS for choice in choices(plugin)]
    return [name for name in ESTIMATORS.select(texts) if name.params]


def claims_unbiased(name: Name, spec: LatentSpec) -> bool:
    try:
        claim = ESTIMATORS.find(name.family).load()(spec, **name.values).claim()
    except Unsupported:
        return False
    return claim.unbiased and claim.target != RELAXED


AT_ONCE = ("exact", "rloo", "rebar", "arsm", "reinforce")
CLASSES = [
    pytest.param(Name(plugin.name), marks=() if plugin.name in AT_ONCE else pytest.mark.full)
    for plugin in ESTIMATORS
    if not plugin.fact("bound") and all(claims_unbiased(Name(plugin.name), spec) for spec in LAYERS["classes"])
]
"""Those for two layers of classes, most in the full tests alone; DEEP has two layers of bits."""


@pytest.mark.parametrize("name", variants(), ids=str)
def test_unbiased_under_other_parameters(name: Name) -> None:
    plugin = ESTIMATORS.find(name.family)
    for kind in plugin.facts["latents"]:
        case = Case(plugin, name, plugin.load(), kind)
        claim = case.fresh().claim()
        if not claim.unbiased:
            pytest.skip("it claims to be biased")
        table = (
            f"{TABLES[kind]}:{FEW[TABLES[kind]][0]}"
            if claim.target == RELAXED and TABLES[kind] in FEW
            else TABLES[kind]
        )
        try:
            for own in (False, True):
                judge(case, [Name.parse(table)], own)
        except Skipped as reason:
            pytest.skip(str(reason))


@pytest.mark.parametrize("toy", [*(toy for toy in toys("bernoulli", data=True) if toy.family != HALF), DEEP], ids=str)
@pytest.mark.parametrize("name", [name for name in DEFAULTS if claims_unbiased(name, DIGITS)], ids=str)
def test_unbiased_on_real_digits(name: Name, toy: Name, examine: Callable[..., Any]) -> None:
    p = examine(ESTIMATORS.find(name.family).load(), str(toy)).p
    deeper = {"deeper-encoder", "deeper-decoder"} if toy == DEEP else set()
    assert {"value", "cut", "encoder", "decoder"} | deeper <= p.keys()
    assert not {group: chance for group, chance in p.items() if chance < ALPHA}


@pytest.mark.parametrize("name", CLASSES, ids=str)
def test_unbiased_on_halves_of_digits(name: Name, examine: Callable[..., Any]) -> None:
    """In two layers, with fewer draws than elsewhere."""
    p = examine(ESTIMATORS.find(name.family).load(), f"{HALF}:latents=classes", rows=100).p
    assert {"value", "cut", "encoder", "between", "decoder"} <= p.keys()
    assert not {group: chance for group, chance in p.items() if chance < ALPHA}


@pytest.mark.parametrize("table", ONE_HOT_TABLES)
@pytest.mark.parametrize("name", BIASED)
def test_a_biased_estimator_is_found_biased(name: str, table: str, examine: Callable[..., Any]) -> None:
    assert examine(ESTIMATORS.find(name).load(), table).p["cut"] < ALPHA


@pytest.mark.parametrize("table", ONE_HOT_TABLES)
def test_straight_through_is_unbiased_under_the_multilinear_extension(table: str, examine: Callable[..., Any]) -> None:
    findings = examine(ESTIMATORS.find("straight-through").load(), f"{table}:extension=multilinear", rows=2000)
    assert min(findings.p.values()) >= ALPHA, findings.p
    assert findings.detectable["cut"] < WANTED_POWER
