"""The hyper-parameters of a stored name, with the defaults of those that it does not state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import Registry


def values(registry: Registry, name: Name) -> dict[str, Any]:
    """Every hyper-parameter of a stored name; only those that it states if its plugin is not installed here."""
    try:
        rules = registry.find(name.family).fact("hyperparameters", {})
    except UsageError:
        return name.values
    return {key: rule["default"] for key, rule in rules.items()} | name.values


def columns(registry: Registry, names: Iterable[str]) -> pd.DataFrame:
    """[name] -> one column per hyper-parameter that any of these stored names has, missing where a name has none."""
    found = {name: values(registry, Name.stored(name)) for name in sorted(set(names))}
    keys = sorted({key for each in found.values() for key in each})
    return pd.DataFrame({key: _column({n: each.get(key) for n, each in found.items()}) for key in keys}, list(found))


def _column(values: dict[str, Any]) -> pd.Series:
    """Whole numbers as Int64, which has a missing value, other numbers as float64, anything else as objects."""
    kinds = {type(value) for value in values.values() if value is not None}
    dtype = "Int64" if kinds == {int} else "float64" if kinds <= {int, float} else "object"
    return pd.Series(values, dtype=dtype)
