"""The colour of an estimator is that of its family, in every figure and on the page. No colour means anything else."""

from __future__ import annotations

from dvae_bench.estimators.registry import ESTIMATORS

PLUGIN = "plugin"
"""The family of every estimator that is not built in."""
OTHERS = "#b5b5b5"
FAMILY_COLOURS = {
    "score_function": "#0072b2",
    "coupled": "#56b4e9",
    "control_variates": "#009e73",
    "enumeration": "#332288",
    "bounds": "#882255",
    "straight_through": "#d55e00",
    "relaxations": "#e69f00",
    "smoothing": "#cc79a7",
    "pathwise": "#6b4423",
    "quantisers": "#999933",
    PLUGIN: "#000000",
}
"""family -> colour: ten, told apart by any kind of colour vision (palettes of Okabe & Ito 2008 and Tol 2021), and black
for a reader's own estimator."""


def family(estimator: str) -> str:
    """The family of a stored estimator, from its name; PLUGIN for those that are not built in."""
    found = ESTIMATORS.builtin.get(estimator.partition(":")[0])
    return PLUGIN if found is None else found.family


def colour(estimator: str) -> str:
    """The colour of the estimator's family; grey for a family without one."""
    return FAMILY_COLOURS.get(family(estimator), OTHERS)
