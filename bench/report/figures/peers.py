"""Figure: bias of estimators from plugins, beside ours on the same tasks."""

from __future__ import annotations

import pandas as pd
from dvae_bench.estimators.registry import ESTIMATORS
from matplotlib.figure import Figure

from . import bias

_NEEDED = "no toy was run with an estimator from a plugin; run --plugin examples/my_estimator.py -e antithetic -e rloo"


def plot(rows: pd.DataFrame) -> Figure | str:
    """The figure `bias` of the tasks on which a plugin's estimator was measured, with the plugins' names in bold."""
    outside = {name for name in set(rows["estimator"]) if name.partition(":")[0] not in {"", *ESTIMATORS.builtin}}
    on = set(rows.loc[rows["estimator"].isin(outside), "task"])
    figure = bias.plot(rows[rows["task"].isin(on)]) if on else ""
    if isinstance(figure, str):
        return _NEEDED
    for label in (label for axes in figure.axes for label in axes.get_yticklabels()):
        if label.get_text() in outside:
            label.set_fontweight("bold")
    return figure
