"""The leaderboard: one line per task and estimator, every number with its interval and its n."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from dvae_bench.estimators.registry import ESTIMATORS

from ..latents import latent_of
from ..report.numbers import MISSING, plain, with_interval
from ..report.rows import CELL, UNSUPPORTED, is_training, of_metric, unmeasured
from ..report.study import Study
from ..report.tables.table import one_line
from ..report.verdicts import BIASED, UNBIASED
from ..sources import CLOCK, DRAWS, STEPS

COLUMNS = {
    "bias": "relative bias",
    "variance": "variance",
    "evaluations": "evaluations",
    "time": "time (µs)",
    "work": "work-normalised variance",
    "elbo": "ELBO test",
}
_LARGEST = 700.0  # math.exp overflows beyond 709
_SOURCES = {  # source, metric and group of the n of a number
    "bias": (DRAWS, "bias_rel", "cut"),
    "variance": (DRAWS, "var_total", "cut"),
    "var_encoder": (STEPS, "var_encoder", ""),
    "time": (CLOCK, "time_total", ""),
    "elbo": (STEPS, "elbo_test", ""),
}


_Cell = tuple[str, str, str, str]
Interval = tuple[float, float, float]
"""value, lo, hi; NaN where there is none."""


@dataclass(frozen=True)
class Number:
    """A number as the page shows it; `order` sorts it, None if it was not measured."""

    text: str = MISSING
    order: float | None = None
    n: int = 0

    @classmethod
    def of(cls, interval: Interval, n: int = 0) -> Number:
        return cls() if math.isnan(interval[0]) else cls(with_interval(*interval), interval[0], n)


@dataclass(frozen=True)
class Line:
    """One estimator on one task of a run; state, its colour, is unbiased, biased, unsupported, failed or ""."""

    run: str
    task: str
    data: str
    device: str
    estimator: str
    family: str
    latent: str
    verdict: str
    state: str
    reason: str
    numbers: Mapping[str, Number]

    @property
    def setting(self) -> tuple[str, str, str]:
        return self.task, self.data, self.device


def leaderboard(study: Study) -> list[Line]:
    """Toys, then trained tasks; a failed cell is a line too."""
    rows = study.rows
    counts, reasons, trained = _counts(rows), _reasons(rows), is_training(rows)
    toys = study.tables.toys.numbers.to_dict("records")
    models = study.tables.training.numbers.to_dict("records")
    evaluations = rows[trained & (rows["metric"] == "evaluations")].groupby(CELL)["value"].mean()
    lines = []
    for x in toys:
        cell = _cell(x)
        n = counts.get(cell, {})
        bias = Number.of(_interval(x, "bias_rel"), n.get("bias", 0))
        if x["verdict"] == UNBIASED:
            bias = replace(bias, text=f"{bias.text}; sdb {plain(x['sdb'])}")
        variance, time = _interval(x, "variance"), _interval(x, "time")
        numbers = {"bias": bias, "evaluations": _alone(x["evaluations"]), **_costs(variance, "variance", time, n)}
        lines.append(_line(study, cell, x["verdict"], reasons.get(cell, ("", "")), numbers))
    for x in models:
        cell = _cell(x)
        n = counts.get(cell, {})
        value, lo, hi = _interval(x, "ms_per_step")
        costs = _costs(_interval(x, "var_encoder"), "var_encoder", (1000 * value, 1000 * lo, 1000 * hi), n)
        elbo = Number.of(_interval(x, "elbo_test"), n.get("elbo", 0))
        numbers = {"elbo": elbo, "evaluations": _alone(evaluations.get(cell, math.nan)), **costs}
        lines.append(_line(study, cell, x["status"], reasons.get(cell, ("", "")), numbers))
    return lines


def work_normalised(variance: Interval, time: Interval) -> Interval:
    """Variance times time: the two are independent, so their log half-widths add in quadrature."""
    product = variance[0] * time[0]
    if not all(0 < number < math.inf for number in (*variance, *time)):
        return product, math.nan, math.nan
    ratios = [[x[end] / x[0] for x in (variance, time)] for end in (1, 2)]
    if not all(0 < ratio < math.inf for ends in ratios for ratio in ends):
        return product, math.nan, math.nan
    below, above = (math.hypot(*map(math.log, ends)) for ends in ratios)
    return product, product * math.exp(-below), product * math.exp(min(above, _LARGEST))


def _costs(variance: Interval, counted: str, time: Interval, n: Mapping[str, int]) -> dict[str, Number]:
    return {
        "variance": Number.of(variance, n.get(counted, 0)),
        "time": Number.of(time, n.get("time", 0)),
        "work": Number.of(work_normalised(variance, time), n.get(counted, 0)),
    }


def _cell(line: Mapping[Any, Any]) -> _Cell:
    task, data, device, estimator = (str(line[key]) for key in CELL)
    return task, data, device, estimator


def _interval(line: Mapping[Any, Any], name: str) -> Interval:
    return float(line[name]), float(line[f"{name}_lo"]), float(line[f"{name}_hi"])


def _alone(value: float) -> Number:
    return Number.of((float(value), math.nan, math.nan))


def _line(study: Study, cell: _Cell, verdict: str, lost: tuple[str, str], numbers: Mapping[str, Number]) -> Line:
    name = cell[-1].partition(":")[0]
    family = next((plugin.family for plugin in ESTIMATORS if plugin.name == name), "")
    measured = any(number.order is not None for number in numbers.values())
    status, reason = lost
    known = verdict if verdict in (BIASED, UNBIASED) else ""
    state = known if measured or known or not status else UNSUPPORTED if status == UNSUPPORTED else "failed"
    shown = {key: numbers.get(key, Number()) for key in COLUMNS}
    verdict = verdict or status
    latent, reason = latent_of(cell[0]), one_line(reason, 300)
    return Line(study.label, *cell, family, latent, verdict, state, reason, shown)


def _counts(rows: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, int]]:
    """[cell] -> name of a number -> its n: draws, rounds or images, over all seeds, at the last step."""
    counted = of_metric(rows, *(metric for _, metric, _ in _SOURCES.values()))
    last = counted[counted["value"].notna()].sort_values("step", kind="stable")
    last = last.drop_duplicates([*CELL, "source", "metric", "group", "seed"], keep="last")
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for name, (source, metric, group) in _SOURCES.items():
        chosen = last[(last["source"] == source.name) & (last["metric"] == metric) & (last["group"] == group)]
        sums: Any = chosen.groupby(CELL)["n"].sum()
        for cell, n in sums.items():
            found.setdefault(cell, {})[name] = int(n)
    return found


def _reasons(rows: pd.DataFrame) -> dict[Any, tuple[str, str]]:
    """[cell] -> status and reason of a source without numbers; an error before what is merely unsupported."""
    lost = unmeasured(rows)
    lost = lost.assign(last=lost["status"] == UNSUPPORTED).sort_values("last", kind="stable").drop_duplicates(CELL)
    return {tuple(cell): (status, reason) for *cell, status, reason in lost[[*CELL, "status", "reason"]].to_numpy()}
