"""The colour of an estimator is that of its family, in every figure and on the page. No colour means anything else."""

from __future__ import annotations

from dvae_bench.estimators.registry import ESTIMATORS

PLUGIN = "plugin"
"""The family of every estimator that is not built in."""
OTHERS = "#b4b4b4"
"""Estimators that are drawn as background."""
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
    PLUGIN: "#000000",
}
"""The folders of estimators/ in the order of legends and tables, and a reader's own estimator. Any two colours, and
OTHERS, differ by 12 or more in CIELAB to normal, protan and deutan sight.
"""


def family(estimator: str) -> str:
    """The family of a stored estimator, from its name; PLUGIN for those that are not built in."""
    found = ESTIMATORS.builtin.get(estimator.partition(":")[0])
    return PLUGIN if found is None else found.family


def colour(estimator: str) -> str:
    """The colour of the estimator's family; grey for a family without one."""
    return FAMILY_COLOURS.get(family(estimator), OTHERS)
