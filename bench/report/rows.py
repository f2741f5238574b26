"""Queries on stored rows for tables and figures. Seeds are combined here and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from dvae_bench.estimators.names import UsageError

from ..sources import DRAWS, STEPS, Source
from .once import keep, kept, once

CELL: list[Any] = ["task", "data", "device", "estimator"]
SETTING: list[Any] = ["task", "data", "device"]
_TEXT: list[str] = [*CELL, "source", "group", "metric", "unit", "status", "reason"]
_ROUNDING = 1e-5  # of the gradient's norm: a smaller standard deviation is float32 rounding, not the estimator's
UNSUPPORTED = "unsupported"  # the status of a combination that does not apply
_NUMBERS = ["seed", "step", "value", "lo", "hi"]


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with "" for missing text, and with data and device of failed cells filled in where only one is known.

    Those of toys come first, so that both they and those of trainings are slices; the index has the order before.
    Prepared rows are returned as they are. Raises UsageError when a column is missing.
    """
    if kept(rows):
        return rows
    missing = [name for name in (*_TEXT, *_NUMBERS) if name not in rows.columns]
    if missing:
        raise UsageError(f"these rows have no column {', '.join(missing)}; pass the rows of a run as it stored them")
    rows = rows.reset_index(drop=True).astype({"value": float, "lo": float, "hi": float})
    rows = rows.assign(**{name: _text(rows[name]) for name in _TEXT})
    devices = set(rows["device"]) - {""}
    if len(devices) == 1:
        rows["device"] = devices.pop()
    for task, part in rows[rows["data"] != ""].groupby("task"):
        if part["data"].nunique() == 1:
            rows.loc[rows["task"] == task, "data"] = part["data"].iloc[0]
    trained = is_training(rows)
    if not trained.is_monotonic_increasing:
        rows = rows.iloc[np.argsort(trained, kind="stable")]
    return keep(rows)


def _text(column: pd.Series) -> Any:
    """As objects, of which those of equal text are one: a run has few texts in many rows."""
    if column.dtype == object and column.notna().all():
        return column
    codes, texts = pd.factorize(column)
    return np.append(np.asarray(texts, dtype=object), "")[codes]  # the code of a missing text is -1


@once
def is_training(rows: pd.DataFrame) -> pd.Series:
    """True for the rows of tasks that are trained, False for toys, which have gradient draws and may use data too."""
    trained = set(rows.loc[rows["source"] == STEPS.name, "task"])
    on_data = set(rows.loc[rows["data"] != "", "task"]) - set(rows.loc[rows["source"] == DRAWS.name, "task"])
    return rows["task"].isin(trained | on_data)


def toys(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of toys; the same frame where all are, since a copy takes as much memory again."""
    return _toys(rows) if is_training(rows).any() else rows


def trainings(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of tasks that are trained; the same frame where all are."""
    return rows if is_training(rows).all() else _trainings(rows)


@once
def _toys(rows: pd.DataFrame) -> pd.DataFrame:
    return _part(rows, ~is_training(rows))


@once
def _trainings(rows: pd.DataFrame) -> pd.DataFrame:
    return _part(rows, is_training(rows))


def _part(rows: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """The chosen rows, without a copy where they follow each other; those of kept rows are kept too, so that what
    follows from them is computed once.
    """
    places = np.flatnonzero(chosen)
    if len(places) and places[-1] - places[0] + 1 == len(places):
        part = rows.iloc[places[0] : places[-1] + 1]
    else:
        part = rows[chosen]
    return keep(part) if kept(rows) else part


@once
def cells(rows: pd.DataFrame) -> pd.Series:
    """[task, data, device, estimator] -> how many rows it has, in the order of its first row."""
    return rows.groupby(CELL, sort=False).size()


def settings(rows: pd.DataFrame) -> list[Any]:
    """Every (task, data, device) with a row, in the order of its first row."""
    return list(dict.fromkeys(cell[:-1] for cell in cells(rows).index))


def unmeasured(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that each record a cell without numbers, whether it failed or does not apply."""
    rows = of_metric(rows, "")
    return rows[rows["status"] != "ok"]


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that each record a failed cell."""
    rows = unmeasured(rows)
    return rows[rows["status"] != UNSUPPORTED]


def applicable(rows: pd.DataFrame) -> pd.Index:
    """[task, data, device, estimator] of the lines of tables. Combinations that do not apply are a count, no lines."""
    every, rows = cells(rows), unmeasured(rows)
    unsupported = rows[rows["status"] == UNSUPPORTED].groupby(CELL).size()
    return every.index[every > unsupported.reindex(every.index, fill_value=0)]


def of_metric(rows: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """The rows of these metrics, in their order."""
    if not kept(rows):
        return rows[rows["metric"].isin(metrics)]
    places = _places(rows)
    return rows.iloc[np.sort(np.concatenate([places.get(metric, np.array([], int)) for metric in metrics]))]


@once
def _places(rows: pd.DataFrame) -> dict[Any, np.ndarray]:
    """metric -> the places of its rows."""
    return {metric: np.asarray(places) for metric, places in rows.groupby("metric").indices.items()}


def measured(rows: pd.DataFrame, source: Source, metric: str, group: str = "") -> pd.DataFrame:
    """[task, data, device, estimator] -> value, lo, hi, status: the mean over seeds.

    Seeds are independent, so their half-widths add in quadrature, each side separately; NaN where a seed has none.
    status: a row's warning about its own value ("heavy-tailed, n too small"), else "".
    """
    rows = of_metric(rows, metric)
    wanted = (rows["source"] == source.name) & (rows["group"] == group)
    chosen = rows[wanted & rows["value"].notna()]
    sides = chosen[CELL].assign(
        value=chosen["value"],
        below=((chosen["value"] - chosen["lo"]) ** 2).fillna(np.inf),
        above=((chosen["hi"] - chosen["value"]) ** 2).fillna(np.inf),
    )
    cells = sides.groupby(CELL)
    warned = chosen[chosen["status"] != "ok"].groupby(CELL)["status"].max()  # of these few: texts are slow to compare
    mean, squares, count = cells["value"].mean(), cells[["below", "above"]].sum(), cells.size()
    half = squares.replace(np.inf, np.nan).pow(0.5).div(count, axis=0)
    return pd.DataFrame(
        {
            "value": mean,
            "lo": mean - half["below"],
            "hi": mean + half["above"],
            "status": warned.reindex(mean.index, fill_value=""),
        }
    )


def logits_variance(rows: pd.DataFrame) -> pd.DataFrame:
    """`measured` of the logits gradient's var_total, 0 where it is only float32 rounding."""
    variance = measured(rows, DRAWS, "var_total", "cut")
    gradient = measured(rows, DRAWS, "gradient_norm", "cut")["value"].reindex(variance.index).fillna(0)
    variance.loc[variance["value"] <= (_ROUNDING * gradient) ** 2, ["value", "lo", "hi"]] = 0.0
    return variance


def final(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """[task, data, device, estimator] -> value, lo, hi, seeds: a training metric at its last step.

    The mean over the seeds that finished; lo and hi are their range or, with one seed, the row's own interval.
    """
    return over_seeds(finished(rows, metric).drop_duplicates([*CELL, "seed"], keep="last"), CELL)


def curve(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """[task, data, device, estimator, step] -> value, lo, hi, seeds, combined over seeds as in `final`."""
    return over_seeds(finished(rows, metric), [*CELL, "step"])


def finished(rows: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """The finite rows of training metrics, by step, without failed seeds and without the rows of the basket."""
    chosen = of_metric(rows, *metrics)
    own = (chosen["source"] == STEPS.name) & (chosen["group"] == "")
    chosen = chosen[own & np.isfinite(chosen["value"])]
    if chosen.empty:
        return chosen
    failed = failures(rows)
    failed = failed.loc[failed["source"].isin([STEPS.name, ""]), [*CELL, "seed"]].drop_duplicates()
    merged = chosen.merge(failed.assign(failed=True), on=[*CELL, "seed"], how="left")
    return merged[merged["failed"].isna()].sort_values("step", kind="stable")


def over_seeds(rows: pd.DataFrame, keys: list[Any]) -> pd.DataFrame:
    """[keys] -> value, lo, hi, seeds, as in `final`, from rows with one value per seed."""
    if rows.empty:
        return rows.assign(seeds=rows["seed"]).set_index(keys)[["value", "lo", "hi", "seeds"]]
    groups = rows.groupby(keys)
    table = groups.agg(value=("value", "mean"), lo=("lo", "first"), hi=("hi", "first"), seeds=("seed", "nunique"))
    several = table["seeds"] > 1
    table.loc[several, "lo"] = groups["value"].min()[several]
    table.loc[several, "hi"] = groups["value"].max()[several]
    return table


def setting_label(setting: Any, devices: int) -> str:
    """A setting as text, "task (data, device)"; the device only where the run has several."""
    task, data, device = map(str, setting)
    extra = [part for part in (data, device if devices > 1 else "") if part]
    return f"{task} ({', '.join(extra)})" if extra else task


def sizes(rows: pd.DataFrame, metric: str, unit: str) -> str:
    """The n and the seeds for a caption: "n = 256000 draws per cell and seed, 3 seeds"."""
    n, seeds = rows.loc[(rows["metric"] == metric) & rows["value"].notna(), "n"], rows["seed"].nunique()
    least, most = (int(n.min()), int(n.max())) if len(n) else (0, 0)
    count = str(most) if least == most else f"{least} to {most}"
    return f"n = {count} {unit} per cell and seed, {seeds} seed{'s' * (seeds != 1)}"
