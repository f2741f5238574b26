"""All numbers of the page, for its scripts: runs with their columns, lines and places, comparisons, and charts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..ranking.budget import COUNTS
from ..report.columns import columns
from ..report.palette import FAMILY_COLOURS, OTHERS, PLUGIN, family
from ..report.rows import UNSUPPORTED
from ..report.study import Study
from .charts import Chart
from .leaderboard import COLUMNS, Line
from .places import DERIVATIVES, EVALUATIONS, Places


def data(
    studies: Sequence[Study], lines: Sequence[Line], anchors: Mapping[str, str], found: Sequence[Chart]
) -> dict[str, Any]:
    """For JSON: None in place of numbers that are not finite, which browsers cannot parse."""
    every = {
        "families": {name: [name.replace("_", " "), tint] for name, tint in FAMILY_COLOURS.items() if name != PLUGIN},
        "others": OTHERS,
        "evaluations": EVALUATIONS,
        "derivatives": DERIVATIVES,
        "start": {"evaluations": 2, "derivative": COUNTS},
        "numbers": COLUMNS,
        "estimators": {name: {"family": family(name), "anchor": anchor} for name, anchor in anchors.items()},
        "runs": [_run(study, [line for line in lines if line.run == study.label]) for study in studies],
        "charts": {chart.name: chart.views for chart in found if not isinstance(chart.views, str)},
    }
    return _finite(every)


def _run(study: Study, lines: Sequence[Line]) -> dict[str, Any]:
    own = columns(study.rows)
    index = {column.setting: i for i, column in enumerate(own)}
    places = Places(study, own, {(line.estimator, line.task): line.verdict for line in lines})
    shown = [line for line in lines if line.state != UNSUPPORTED]
    here = Counter(line.setting for line in shown)
    every = len({line.estimator for line in lines})
    return {
        "label": study.label,
        "columns": [asdict(column) | {"without": every - here[column.setting]} for column in own],
        "lines": [
            {
                "estimator": line.estimator,
                "column": index[line.setting],
                "verdict": places.verdict(line.estimator, own[index[line.setting]]),
                "state": line.state,
                "word": line.verdict,
                "reason": line.reason,
                "numbers": {key: [x.text, x.order, x.n] for key, x in line.numbers.items() if x.order is not None},
            }
            for line in shown
        ],
        "at": {f"{n} {derivative}": places.at(n, derivative) for n in EVALUATIONS for derivative in DERIVATIVES},
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
