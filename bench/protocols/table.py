"""The table of a protocol: theirs, ours, the difference where they are comparable, and the order of the methods."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ...estimators.names import resolve
from ...estimators.registry import TASKS
from ..report.numbers import MISSING, plain, with_interval
from ..report.tables.table import Table
from ..rows import Quantity
from ..sources import STEPS
from ..statistics import intervals as st
from .protocol import METRICS, Method, Protocol
from .scale import Scale, Trial, settings_at, trials
from .selection import best, outcomes, scored

INTERVAL_SEEDS = 3
_NATS = "In nats, mean over seeds."
_RUNS = "Mean over independent runs."
_HOW_TO_READ = (
    "Brackets: t interval over the seeds at 95 per cent; parentheses: the range of fewer than three seeds. The "
    "difference is ours less theirs, with the interval of ours."
)


def reproduction_table(rows: pd.DataFrame, protocol: Protocol, scale: Scale) -> Table:
    """One line per setting and method, in the protocol's order. rows: those of the selection and reporting seeds."""
    numbers = _numbers(rows, protocol, scale)
    records: Any = numbers.to_dict("records")
    form = ".2f" if protocol.source == STEPS.name else ".6g"
    shown = {
        "setting": numbers["setting"],
        "method": numbers["method"],
        "chosen": numbers["chosen"],
        "theirs": [_theirs(x["theirs"], x["spread"], form) for x in records],
        "ours": [_ours(x["ours"], x["lo"], x["hi"], x["seeds"], form) for x in records],
        "difference": [_difference(x, form) for x in records],
        "order theirs": [plain(x["rank_theirs"]) for x in records],
        "order ours": [plain(x["rank_ours"]) for x in records],
        "status": numbers["status"],
    }
    text = pd.DataFrame(shown).astype(object).replace("", MISSING)
    return Table("reproduction", " ".join(_remarks(numbers, protocol, scale)), numbers, text)


def _numbers(rows: pd.DataFrame, protocol: Protocol, scale: Scale) -> pd.DataFrame:
    scores = scored(rows, protocol, scale)
    choices = best(scores, protocol, scale)
    ends = {s: outcomes(rows, protocol, protocol.measured_in(s), protocol.step_in(s)) for s in protocol.settings}
    lines = []
    for method, setting in protocol.lines():
        line = (method.method, setting)
        lines.append(_line(protocol, scale, method, setting, choices.get(line), scores[line], ends[setting]))
    numbers = pd.DataFrame(lines)
    both = numbers["theirs"].notna() & numbers["ours"].notna()
    for column in ("theirs", "ours"):
        ranks = numbers[both].groupby("setting")[column].rank("min", ascending=protocol.lower_is_better)
        numbers[f"rank_{column}"] = ranks.reindex(numbers.index)
    return numbers


def _line(
    protocol: Protocol,
    scale: Scale,
    method: Method,
    setting: str,
    choice: Trial | None,
    scores: list[float],
    ends: pd.DataFrame,
) -> dict[str, Any]:
    """scores: those of all its trials. Without a choice, the line says how the trials ended and has no number."""
    estimator, task = map(str, choice or ("", ""))
    mine = [(str(e), str(t)) for e, t in ([choice] if choice else trials(protocol, method, setting, scale))]
    own = ends[[pair in mine for pair in zip(ends["estimator"], ends["task"], strict=True)]]
    own = own[own["seed"].isin(range(scale.seeds) if choice else protocol.selection_seeds)]
    runs = itertools.chain(*own["runs"]) if choice else ()
    values = np.array(list(runs), dtype=float) * (-1.0 if protocol.negated else 1.0)
    ours, theirs = _over_runs(values, own), method.value(setting)
    reasons, few = _reasons(protocol, scale, method, setting, own), _few(protocol, own) if choice else []
    if (lacking := int(np.isnan(scores).sum())) and len(scores) > 1 and not (own["status"] != "ok").any():
        reasons.append(f"{lacking} of {len(scores)} trials have no result")
    return {
        "setting": setting,
        "method": method.method,
        "estimator": estimator,
        "task": task,
        "chosen": label(protocol, choice) if choice else "",
        "theirs": theirs,
        "spread": method.spread(setting),
        "ours": ours.value,
        "lo": ours.lo,
        "hi": ours.hi,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
        "least": values.min() if len(values) else float("nan"),
        "most": values.max() if len(values) else float("nan"),
        "seeds": len(values),
        "difference": float("nan") if reasons else ours.value - theirs,
        "status": "; ".join([*reasons, *few]) or "reproduction",
    }


def label(protocol: Protocol, trial: Trial) -> str:
    """The estimator and the values of the parameters of the task that are searched, such as `rloo lr=0.001`."""
    estimator, task = trial
    rules = TASKS.find(protocol.task).fact("hyperparameters", {})
    values = resolve(protocol.task, rules, task.values)
    return " ".join([str(estimator), *(f"{key}={values[key]}" for key in protocol.sweep)])


def _reasons(protocol: Protocol, scale: Scale, method: Method, setting: str, own: pd.DataFrame) -> list[str]:
    """Why ours and theirs are not comparable; empty when the protocol ran in full, with however many seeds, and its
    numbers are verified.
    """
    ended, failed = own[own["status"] == "ok"], own.loc[own["status"] != "ok", "status"].value_counts()
    elsewhere = sorted(set(own["data"].fillna("")) - {protocol.data})
    missing = "" if protocol.data == "mnist" else f"data not here: {protocol.data}, "
    short = bool(replace(scale, seeds=protocol.seeds).words(protocol)) or (ended["step"] < protocol.length).any()
    checks = [
        (own.empty, "not measured"),
        (len(failed) > 0, ", ".join(f"{count} {status}" for status, count in failed.items())),
        (short, "scaled down"),
        (bool(elsewhere), f"{missing}on {', '.join(elsewhere)}"),
        (ended["value"].isna().any(), f"no {protocol.measured_in(setting)} measured"),
        (setting not in method.published, "no number published"),
        (setting in method.published and protocol.numbers == "recalled", "not verified"),
        (bool(protocol.assumed), f"{protocol.assumptions} assumed"),
        (bool(method.differs), f"differs: {method.differs}"),
    ]
    return [reason for holds, reason in checks if holds]


def _few(protocol: Protocol, own: pd.DataFrame) -> list[str]:
    """Fewer seeds than the paper's widen the interval, and are no reason against a comparison."""
    ended = int((own["status"] == "ok").sum())
    return [f"{ended} of {protocol.seeds} seeds"] if 0 < ended < protocol.seeds and ended == len(own) else []


def _over_runs(values: np.ndarray, own: pd.DataFrame) -> Quantity:
    if len(values) >= INTERVAL_SEEDS and len(own) == 1 and np.ptp(values) == 0:  # exact but for rounding
        return Quantity(float(values[0]), lo=float(own["lo"].iloc[0]), hi=float(own["hi"].iloc[0]))
    if len(values) >= INTERVAL_SEEDS:
        return st.mean(values)
    if not len(values):
        return Quantity(float("nan"))
    return Quantity(float(values.mean()), lo=float(values.min()), hi=float(values.max()))


def _remarks(numbers: pd.DataFrame, protocol: Protocol, scale: Scale) -> list[str]:
    """The sentences of the caption: the table's title, what differs from the paper, and disagreements on the order."""
    name, _, split = protocol.measured.rpartition("_")
    metric, _ = METRICS.get(name, (protocol.measured, ()))
    samples = f" of {settings_at(protocol, scale).iw_samples} samples" if protocol.measured.startswith("iw") else ""
    remarks = [_title(numbers, protocol, scale)]
    if protocol.source == STEPS.name:
        sign = "Minus the" if protocol.negated else "The"
        remarks.append(f"{sign} {protocol.report} {split} {metric}{samples}. {_NATS} {_HOW_TO_READ}")
    else:
        remarks.append(f"{_RUNS} {_HOW_TO_READ}".replace("the seeds", "the runs").replace("three seeds", "three runs"))
    if protocol.spread:
        remarks.append(f"Spread of theirs: {protocol.spread}.")
    if protocol.assumed:
        remarks.append(f"Not read in the paper and chosen here: {protocol.choices}.")
    if protocol.differs:
        remarks.append(f"Done otherwise here: {'; '.join(protocol.differs)}.")
    return remarks + [_order(part, protocol) for _, part in numbers.groupby("setting", sort=False) if _pairs(part)]


def _title(numbers: pd.DataFrame, protocol: Protocol, scale: Scale) -> str:
    scaled = scale.words(protocol)
    why = [scaled] if scaled else []
    if protocol.numbers == "none":
        return f"{'; '.join([f'{protocol.name}: our own protocol, nothing is published', *why])}."
    why += ["numbers recalled, not verified"] if protocol.numbers == "recalled" else []
    if protocol.assumed:
        why = [*(why or ["full length"]), f"{protocol.assumptions} assumed"]
    if not why and not (numbers["status"] == "reproduction").any():
        why = ["see the status of each line"]
    if why:
        return f"{protocol.name}: {'; '.join(why)}: no reproduction of {protocol.citation}, {protocol.table}."
    return f"Reproduction of {protocol.citation}, {protocol.table}."


def _pairs(part: pd.DataFrame) -> list[tuple[Any, Any]]:
    """The pairs of methods of one setting that both have numbers of theirs and ours, theirs unequal."""
    known: Any = part[part["theirs"].notna() & part["ours"].notna()].to_dict("records")
    return [(a, b) for a, b in itertools.combinations(known, 2) if a["theirs"] != b["theirs"]]


def _order(part: pd.DataFrame, protocol: Protocol) -> str:
    """How many pairs are in the paper's order, how many are reversed within the intervals, and which beyond them."""
    pairs = _pairs(part)
    reversed_ = [(a, b) for a, b in pairs if (a["theirs"] - b["theirs"]) * (a["ours"] - b["ours"]) < 0]
    beyond = [(a, b) for a, b in reversed_ if _apart(a, b)]
    word = "recalled" if protocol.numbers == "recalled" else "published"
    count = f"{part['setting'].iloc[0]}: {len(pairs) - len(reversed_)} of {len(pairs)} pairs in the {word} order"
    if part["seeds"].max() == 1:
        return f"{count}; one seed cannot say whether the others are against it."
    if len(reversed_) > len(beyond):
        count += f", {len(reversed_) - len(beyond)} reversed within the intervals"
    if part["seeds"].max() < INTERVAL_SEEDS:
        count += " (too few seeds for intervals: their ranges are compared)"
    if not beyond:
        return f"{count}; none against it beyond them."
    return f"{count}; AGAINST it beyond them: {'; '.join(_disagreement(a, b, protocol) for a, b in beyond)}."


def _apart(a: Any, b: Any) -> bool:
    """Whether neither our intervals nor their spreads, if given, overlap; never for a single seed."""
    spreads, several = np.nansum([a["spread"], b["spread"]]), min(a["seeds"], b["seeds"]) > 1
    return several and (a["hi"] < b["lo"] or b["hi"] < a["lo"]) and abs(a["theirs"] - b["theirs"]) > spreads


def _disagreement(a: Any, b: Any, protocol: Protocol) -> str:
    better, worse = sorted((a, b), key=lambda x: x["ours"], reverse=not protocol.lower_is_better)
    theirs, ours = (f"{better[side]:.2f} and {worse[side]:.2f}" for side in ("theirs", "ours"))
    return f"{better['method']} before {worse['method']} in ours ({ours}), after it in theirs ({theirs})"


def _theirs(value: float, spread: float, form: str) -> str:
    if np.isnan(value):
        return ""
    return f"{value:{form}}" if np.isnan(spread) else f"{value:{form}} ± {spread:{form}}"


def _difference(x: Any, form: str) -> str:
    return _ours(x["difference"], x["lo"] - x["theirs"], x["hi"] - x["theirs"], x["seeds"], form)


def _ours(value: float, lo: float, hi: float, seeds: int, form: str) -> str:
    if np.isnan(value) or seeds == 1:
        return "" if np.isnan(value) else f"{value:{form}}"
    return with_interval(value, lo, hi, "{} [{}, {}]" if seeds >= INTERVAL_SEEDS else "{} ({} to {})")
