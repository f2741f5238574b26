"""The table of toy tasks: whether each estimator is biased, its variance, and what one gradient costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...rows import NOT_APPLICABLE, OWN
from ...sources import CLOCK, DRAWS
from ...statistics.holm import ALPHA
from ..constants import BENT, constants
from ..numbers import MISSING, plain, with_interval
from ..rows import CELL, applicable, measured, sizes, toys
from ..verdicts import BIASED, UNBIASED, bias_tests, of_logits, verdicts
from .best import BOLD, not_worse
from .table import Table, informative


def toy_table(rows: pd.DataFrame) -> Table:
    """One line per task and estimator, by task, then by variance of the logits gradient; failed cells have a status."""
    rows = toys(rows)
    numbers = _numbers(rows)
    lines = numbers.to_dict("records")
    text = pd.DataFrame(
        {
            "task": numbers["task"],
            "data": numbers["data"],
            "device": numbers["device"],
            "estimator": numbers["estimator"],
            "verdict": numbers["verdict"],
            "relative bias": [_bias(line) for line in lines],
            "up to a constant": [_constant(line) for line in lines],
            "other groups": numbers["other_groups"],
            "own objective": numbers["own_objective"],
            "variance": [_variance(line) for line in lines],
            "evals": numbers["evaluations"].map(plain),
            "diffs": numbers["differentiations"].map(plain),
            "µs per draw": [with_interval(line["time"], line["time_lo"], line["time_hi"]) for line in lines],
        },
        dtype=object,
    )
    proportion = bool((text["up to a constant"] != MISSING).any())
    if not proportion:
        text = text.drop(columns="up to a constant")
    own = bool(text["own objective"].any())
    if not own:
        text = text.drop(columns="own objective")
    unbiased = numbers["verdict"] == UNBIASED
    bold = {"variance": not_worse(numbers, "variance", unbiased), "µs per draw": not_worse(numbers, "time")}
    key = ("estimator", "verdict", "relative bias", "variance", "evals", "µs per draw")
    return Table("toys", _caption(rows, own, proportion), numbers, informative(text), bold, key)


def _numbers(rows: pd.DataFrame) -> pd.DataFrame:
    every = verdicts(rows)
    own, found = of_logits(every), every.reset_index()
    relaxed = found["group"].str.endswith(OWN)
    others = _condensed(found[~relaxed & ~found["group"].isin(["cut", ""])])
    objective = _condensed(found[relaxed].assign(group=found["group"].str.removesuffix(OWN)))
    bias = measured(rows, DRAWS, "bias_rel", "cut").add_prefix("bias_rel_")
    variance = measured(rows, DRAWS, "var_total", "cut").add_prefix("variance_")
    time = measured(rows, CLOCK, "time_total").add_prefix("time_")
    proportion = constants(rows)
    numbers = pd.DataFrame(index=applicable(rows))
    numbers = numbers.join(own[["verdict", "p_holm", "sdb", "sdb_any"]]).join(bias.drop(columns="bias_rel_status"))
    if len(proportion):
        numbers = numbers.join(proportion)
    numbers["other_groups"] = others.reindex(numbers.index)
    numbers["own_objective"] = objective.reindex(numbers.index)
    numbers = numbers.join(variance)
    for metric in ("evaluations", "differentiations"):
        numbers[metric] = measured(rows, DRAWS, metric)["value"].reindex(numbers.index)
    numbers = numbers.join(time.drop(columns="time_status"))
    numbers = numbers.rename(columns={f"{name}_value": name for name in ("bias_rel", "variance", "time")})
    fixed = rows[(rows["metric"] == "var_total") & (rows["group"] == "cut") & (rows["status"] == NOT_APPLICABLE)]
    numbers.loc[numbers.index.isin(fixed.set_index(CELL).index), "variance_status"] = NOT_APPLICABLE
    words = ["verdict", "other_groups", "own_objective", "variance_status"]
    numbers[words] = numbers[words].astype(object).where(numbers[words].notna(), "")
    return numbers.reset_index().sort_values(["task", "data", "device", "variance", "estimator"], ignore_index=True)


def _condensed(found: pd.DataFrame) -> pd.Series:
    """[task, data, device, estimator] -> one phrase for all its groups."""
    groups: dict[Any, list[tuple[str, str, float]]] = {}
    for *cell, word, group, sdb in found[[*CELL, "verdict", "group", "sdb"]].itertuples(index=False, name=None):
        groups.setdefault(tuple(cell), []).append((str(word), group, sdb))
    phrases = {cell: _condense(groups[cell]) for cell in sorted(groups)}
    return pd.Series(phrases, index=pd.MultiIndex.from_tuples(phrases, names=CELL), dtype=object)


def _condense(groups: Sequence[tuple[str, str, float]]) -> str:
    """One phrase for several groups [verdict, group, sdb], naming those that are biased or could not be tested."""
    by_word: dict[str, list[str]] = {}
    for word, group, _ in sorted(groups):
        by_word.setdefault(word, []).append(group)
    if set(by_word) == {UNBIASED}:
        largest = max((sdb for *_, sdb in groups if not math.isnan(sdb)), default=math.nan)
        return f"all unbiased (sdb up to {plain(largest)})"
    if len(by_word) == 1:
        return f"{next(iter(by_word))}: all groups"
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in by_word.items() if word != UNBIASED)


def _variance(line: Mapping[Any, Any]) -> str:
    status = line["variance_status"]
    if status == NOT_APPLICABLE:
        return status
    text = with_interval(line["variance"], line["variance_lo"], line["variance_hi"])
    return f"{text} ({status})" if status else text


def _bias(line: Mapping[Any, Any]) -> str:
    if line["verdict"] == UNBIASED:
        anywhere = "" if math.isnan(line["sdb_any"]) else f", any {plain(line['sdb_any'])}"
        return "sdb " + plain(line["sdb"]) + anywhere
    if line["verdict"] == BIASED:
        return with_interval(line["bias_rel"], line["bias_rel_lo"], line["bias_rel_hi"])
    return MISSING


def _constant(line: Mapping[Any, Any]) -> str:
    """Whether a biased gradient is the exact one up to a constant, and which."""
    bent = line.get("bent")
    if line["verdict"] != BIASED or bent is None or pd.isna(bent):
        return MISSING
    if bent:
        spread = "" if math.isnan(line["least"]) else f": {plain(line['least'])} to {plain(line['most'])}"
        return BENT + spread
    if line["scale_lo"] <= 0:
        return "none above 0"
    return with_interval(line["scale"], line["scale_lo"], line["scale_hi"])


def _caption(rows: pd.DataFrame, own: bool, proportion: bool) -> str:
    tests = len(bias_tests(rows))
    objective = (
        "Own objective: the same draws against the gradient of the estimator's own relaxed objective. " if own else ""
    )
    constant = (
        "Up to a constant, of the biased: the c of E g = c times the gradient, or *bent* where Holm's test over the "
        "bend tests finds no such c, with the range of the c of single data points. "
        if proportion
        else ""
    )
    return (
        f"Toy tasks with exact gradients, {sizes(rows, 'var_total', 'draws')}. "
        f"Verdicts: Holm's test over the {tests} bias tests of this report, family-wise "
        f"alpha {ALPHA:g}. Relative bias: norm of the bias over norm of the exact gradient; sdb: the smallest bias "
        "along the gradient that the test detects with probability 0.95 at alpha 0.001; any: in a random direction. "
        f"{constant}{objective}Variance: trace of the covariance of the logits gradient. evals, diffs: evaluations and "
        "differentiations of f per gradient. Brackets are 95 per cent intervals. "
        f"{BOLD}; for the variance, among the unbiased."
    )
