"""The answer of a comparison in one sentence: passed or failed, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .comparison import Comparison
from .effect import BETTER, WORSE
from .gate import MISSING, STATUS
from .judge import Verdict
from .metrics import KINDS

_MOST_NAMED = 8
_KIND = {metric: kind for kind, metrics in KINDS.items() for metric in metrics}


def answer(comparison: Comparison) -> str:
    """`failed: missing: estimator disarm; worse: rloo on bit (bias, variance)`, or `passed: ...`."""
    gate, named = comparison.gate, _names_by_word(comparison.verdicts)
    reasons = [f"{word}: {named[word]}" for word in gate.fails if word in named]
    if not comparison.judged:
        reasons.append(f"nothing was compared: both runs together hold no result of {', '.join(gate.kinds)}")
    if comparison.failed:
        reasons.append(f"ended in an error in NEW: {shortened(map(str, comparison.failed))}")
    if reasons:
        return "failed: " + "; ".join(reasons)
    others = [f"{word}: {named[word]}" for word in (WORSE, BETTER) if word in named]
    return "; ".join([f"passed: none of {len(comparison.judged)} verdicts is {' or '.join(gate.fails)}", *others])


def shortened(names: Iterable[str], separator: str = ", ") -> str:
    """The first names, and the number of the others."""
    known = list(names)
    more = len(known) - _MOST_NAMED
    return separator.join(known[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else []))


def _names_by_word(verdicts: Sequence[Verdict]) -> dict[str, str]:
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.word, []).append(verdict)
    return {
        word: shortened(_whole(verdicts) + _parts(of, verdicts) if word == MISSING else _parts(of))
        for word, of in found.items()
    }


def _gone(verdicts: Sequence[Verdict], part: str) -> set[str]:
    """The estimators or tasks of which NEW holds nothing."""
    missing = {getattr(v.subject, part) for v in verdicts if _lacks_subject(v)}
    return missing - {getattr(v.subject, part) for v in verdicts if not _lacks_subject(v)}


def _lacks_subject(verdict: Verdict) -> bool:
    return verdict.word == MISSING and verdict.metric == STATUS


def _whole(verdicts: Sequence[Verdict]) -> list[str]:
    """`estimator disarm`, `task bit`; one sentence where nothing of BASE is in NEW."""
    if all(map(_lacks_subject, verdicts)):
        return ["all that BASE holds"]
    return [f"{part} {name}" for part in ("estimator", "task") for name in sorted(_gone(verdicts, part))]


def _parts(of: Iterable[Verdict], within: Sequence[Verdict] = ()) -> list[str]:
    """`rloo on bit (bias, variance)` for each estimator and task, but for those of which nothing is in NEW."""
    estimators, tasks = _gone(within, "estimator"), _gone(within, "task")
    kinds: dict[str, dict[str, None]] = {}
    for verdict in of:
        subject = verdict.subject
        if subject.estimator not in estimators and subject.task not in tasks:
            kind = subject.source if _lacks_subject(verdict) else _KIND.get(verdict.metric, verdict.metric)
            kinds.setdefault(f"{subject.estimator} on {subject.task}", {})[kind] = None
    return [f"{name} ({', '.join(found)})" for name, found in kinds.items()]
