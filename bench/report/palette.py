"""The colour of each family of estimators, the same in every figure and chart."""

from __future__ import annotations

from dvae_bench.estimators.registry import ESTIMATORS

FAMILY_COLOURS: dict[str, str] = {
    "score_function": "#0072b2",
    "coupled": "#56b4e9",
    "control_variates": "#009e73",
    "enumeration": "#414ead",
    "bounds": "#6c4b42",
    "straight_through": "#d55e00",
    "relaxations": "#e69f00",
    "smoothing": "#cc79a7",
    "pathwise": "#214854",
    "quantisers": "#93b54d",
}
"""The folders of estimators/ in the order of legends and tables. Any two colours, and OTHERS, differ by 12 or more in
CIELAB to normal, protan and deutan sight.
"""
OTHERS = "#b4b4b4"
"""Plugins of no family, and estimators that are drawn as background."""


def family_of(estimator: str) -> str:
    """The family of an estimator's name, "" if it is unknown here or a plugin of none."""
    name = estimator.partition(":")[0]
    found = next((plugin.family for plugin in ESTIMATORS if plugin.name == name), "")
    return found if found in FAMILY_COLOURS else ""


def colour_of(estimator: str) -> str:
    return FAMILY_COLOURS.get(family_of(estimator), OTHERS)
