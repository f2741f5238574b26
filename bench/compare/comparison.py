"""The comparison of two runs: verdicts, second looks at doubtful ones, and the subjects that one side lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ..sources import STEPS
from .effect import SAME, UNCLEAR, WORDS
from .judge import Cells, Key, Verdict, judge
from .metrics import MARGINS
from .runs import Run, Subject

LookAgain = Callable[[Subject], Cells | str]


@dataclass(frozen=True)
class Comparison:
    """Verdicts, worse first; the subjects only NEW holds; those that failed in NEW; notes on what is not judged."""

    verdicts: list[Verdict]
    only_new: list[Subject]
    failed: list[Subject]
    notes: list[str]

    def count(self) -> Counter[str]:
        return Counter(verdict.word for verdict in self.verdicts)


def compare(base: Run, new: Run, look_again: LookAgain) -> Comparison:
    """Judge every subject that BASE holds; one that NEW lacks is unclear.

    Where a verdict on draws is worse or unclear, `look_again` gives cells of NEW with fresh draws, or the reason why
    it cannot. The fresh draws are judged alone, never pooled with the first: the first were selected
    for their verdict.
    """
    sides = {subject: (cells, new.cells[subject]) for subject, cells in base.cells.items() if subject in new.cells}
    first = judge(sides, base.context, new.context)
    doubtful = dict.fromkeys(verdict.subject for verdict in first if verdict.doubtful)
    looks = {subject: look_again(subject) for subject in doubtful}
    fresh = {subject: (sides[subject][0], cells) for subject, cells in looks.items() if not isinstance(cells, str)}
    second = {verdict.key: verdict for verdict in judge({**sides, **fresh}, base.context, new.context)}
    verdicts = [_final(verdict, second, looks) if verdict.doubtful else verdict for verdict in first]
    missing = [subject for subject in base.cells if subject not in new.cells]
    verdicts += [Verdict(subject, "status", "", UNCLEAR, reason="not in NEW") for subject in missing]
    return Comparison(
        sorted(verdicts, key=lambda verdict: WORDS.index(verdict.word)),
        [subject for subject in new.cells if subject not in base.cells],
        [subject for subject, cells in new.cells.items() if any(cell.status == "error" for cell in cells)],
        _notes(sides.values()),
    )


def _final(first: Verdict, second: Mapping[Key, Verdict], looks: Mapping[Subject, Cells | str]) -> Verdict:
    look = looks[first.subject]
    found = first if isinstance(look, str) else second.get(first.key, first)
    note = look if isinstance(look, str) else "second look" if found is not first else "one look only"
    return found if found.word == SAME else replace(found, reason="; ".join(filter(None, (found.reason, note))))


def _notes(sides: Iterable[tuple[Cells, Cells]]) -> list[str]:
    """What the verdicts do not cover, one sentence each."""
    pairs = [(base[0], new[0]) for base, new in sides]
    added = [m for m in MARGINS if any(new.measured(m) and not base.measured(m) for base, new in pairs)]
    notes = [f"not in BASE: {', '.join(added)}"] if added else []
    sums = {row["group"] for base, _ in pairs for row in base.measured("var_total").values() if row["blocks"] is None}
    if sums:
        groups = ", ".join(sorted(sums))
        notes.append(f"variance of {groups}: stored as sums of draws, judged only between runs with the same draws")
    if any(base.subject.source == STEPS.name for base, _ in pairs):
        notes.append("training curves are not judged; of training cells, only the status")
    return notes
