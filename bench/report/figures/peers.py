"""Figure: public code, or a reader's own, that claims to be unbiased and is not."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..palette import PLUGIN, family
from ..view import View
from . import bias

_NEEDED = "no toy was run with an estimator from a plugin; run --plugin examples/my_estimator.py -e antithetic -e rloo"


def plot(rows: pd.DataFrame, view: View) -> Figure | str:
    """The figure `bias` of the tasks on which a plugin's estimator was measured, one task to a line."""
    outside = {name for name in set(rows["estimator"]) if name and family(name) == PLUGIN}
    on = set(rows.loc[rows["estimator"].isin(outside), "task"])
    figure = bias.plot(rows[rows["task"].isin(on)], view) if on else ""
    return _NEEDED if isinstance(figure, str) else figure
