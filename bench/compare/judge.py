"""One verdict for every metric and group of a subject that both runs hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..report.numbers import plain, with_interval
from ..report.tables.table import one_line
from .bias import Tests, bias_tests, judge_bias
from .effect import BETTER, SAME, UNCLEAR, WORSE, Effect
from .gate import MISSING, STATUS
from .metrics import BY_TORCH, DRAWN, MARGINS, TIMES, Side, effect
from .runs import StoredCell, Subject

Context = Mapping[str, Any]
Cells = list[StoredCell]
Key = tuple[Subject, str, str]
Sides = Mapping[Subject, tuple[Cells, Cells]]
_NOT_MEASURED = "not measured in NEW"
_MACHINE = ("device_name", "cpu", "threads")


@dataclass(frozen=True)
class Verdict:
    """The verdict on one metric of one group: `word` decides the exit code, the other texts explain it in the table."""

    subject: Subject
    metric: str
    group: str
    word: str
    base: str = ""
    new: str = ""
    change: str = ""
    reason: str = ""

    @property
    def doubtful(self) -> bool:
        """Whether fresh draws may change the verdict."""
        return self.metric in (*DRAWN, "bias") and self.word in (WORSE, UNCLEAR)

    @property
    def key(self) -> Key:
        return self.subject, self.metric, self.group


def judge(
    sides: Sides, base_context: Context, new_context: Context, margins: Mapping[str, float] = MARGINS
) -> list[Verdict]:
    """All verdicts; the bias tests of each side form one family."""
    before = bias_tests(cell for base, _ in sides.values() for cell in base)
    after = bias_tests(cell for _, new in sides.values() for cell in new)
    verdicts: list[Verdict] = []
    for subject, (base, new) in sides.items():
        ended = [next((cell for cell in cells if cell.status != "ok"), None) for cells in (base, new)]
        if any(ended):
            verdicts += _outcome(subject, *ended)
            continue
        verdicts += _bias(subject, before, after)
        for metric in MARGINS:
            for group in base[0].measured(metric):
                differ = _differ(metric, base_context, new_context)
                found = _metric(subject, metric, group, base, new, margins[metric], differ)
                verdicts += [] if found is None else [found]
    return verdicts


def _outcome(subject: Subject, base: StoredCell | None, new: StoredCell | None) -> Iterator[Verdict]:
    """A verdict if the sides ended with different statuses."""
    before, after = ("ok" if cell is None else cell.status for cell in (base, new))
    if before != after:
        reason = one_line(str(new.rows[-1]["reason"])) if new is not None else ""
        yield Verdict(subject, STATUS, "", BETTER if after == "ok" else WORSE, before, after, reason=reason)


def _bias(subject: Subject, before: Tests, after: Tests) -> Iterator[Verdict]:
    for owner, group in before:
        if owner != subject:
            continue
        base, new = before[subject, group], after.get((subject, group))
        if new is not None:
            word, reason = judge_bias(base, new)
            yield Verdict(subject, "bias", group, word, str(base), str(new), reason=reason)
        elif not math.isnan(base.p):
            yield Verdict(subject, "bias", group, MISSING, str(base), reason=_NOT_MEASURED)


def _metric(
    subject: Subject, metric: str, group: str, base: Cells, new: Cells, margin: float, differ: str
) -> Verdict | None:
    base_rows, new_rows = ([row for cell in cells if (row := cell.find(metric, group))] for cells in (base, new))
    before = Side.of(base_rows)
    if math.isnan(before.value):
        return None
    if not new_rows or math.isnan(sum(row["value"] for row in new_rows)):
        reason = new_rows[0]["reason"] if new_rows else ""
        return Verdict(subject, metric, group, MISSING, plain(before.value), reason=reason or _NOT_MEASURED)
    after = Side.of(new_rows)
    found = effect(metric, group, base, new, before, after, margin)
    if found is None:
        return None
    word, reason = found.word, ""
    odd = next((row["status"] for row in (*new_rows, *base_rows) if row["status"] != "ok"), "")
    if word != SAME and (odd or differ):
        word, reason = UNCLEAR, odd or differ
    elif word != SAME and metric in TIMES and len(base_rows) == 1:
        word, reason = UNCLEAR, "one process per side; use compare --rerun"
    elif word == UNCLEAR and metric == "var_total" and after.blocks is None:
        reason = "stored as sums of draws"
    elif word == UNCLEAR:
        sizes = (len(base_rows), len(new_rows)) if metric in TIMES else (before.n, after.n)
        reason = _settled(found, *sizes, "rounds" if metric in TIMES else "draws")
    base_text, new_text = (with_interval(side.value, side.lo, side.hi) for side in (before, after))
    return Verdict(subject, metric, group, word, base_text, new_text, str(found), reason)


def _settled(found: Effect, base: int, new: int, unit: str) -> str:
    """How many draws or rounds on each side would settle the verdict."""
    needed = found.needed(2 / (1 / base + 1 / new)) if base and new else None
    return f"no number of {unit} settles it" if needed is None else f"settled by {_short(needed)} {unit} per side"


def _short(number: int) -> str:
    return str(number) if number < 1e4 else f"{number:.1e}"


def _differ(metric: str, base: Context, new: Context) -> str:
    """Why a metric that depends on the machine or on torch cannot be judged between these runs, or ""."""
    if metric in TIMES and any(base.get(key) != new.get(key) for key in _MACHINE):
        return "different machine"
    torches = [str(context.get("versions", {}).get("torch")).partition("+")[0] for context in (base, new)]
    if metric in (*TIMES, *BY_TORCH) and torches[0] != torches[1]:
        return f"different torch ({torches[0]}, now {torches[1]})"
    return ""
