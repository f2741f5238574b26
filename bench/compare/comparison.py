"""The comparison of two runs: verdicts, second looks at doubtful ones, and the subjects that one side lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ..sources import STEPS
from .effect import SAME, UNCLEAR
from .gate import DEFAULT, MISSING, STATUS, VERDICTS, Gate
from .judge import Cells, Key, Sides, Verdict, judge
from .metrics import MARGINS
from .runs import Run, Subject

_EVIDENCE = ("ok", "diverged")
"""The statuses of cells that measured something."""
LookAgain = Callable[[Subject], Cells | str]


@dataclass(frozen=True)
class Comparison:
    """Verdicts, the worst first; the subjects only NEW holds; those that failed in NEW; notes on what is not judged."""

    verdicts: list[Verdict]
    only_new: list[Subject]
    failed: list[Subject]
    notes: list[str]
    gate: Gate = DEFAULT

    @property
    def judged(self) -> list[Verdict]:
        """The verdicts that can fail."""
        return [verdict for verdict in self.verdicts if self.gate.covers(verdict.metric)]

    @property
    def passed(self) -> bool:
        """Whether something was judged, and no verdict has a word that fails."""
        return bool(self.judged) and not any(self.count()[word] for word in self.gate.fails)

    def count(self) -> Counter[str]:
        return Counter(verdict.word for verdict in self.verdicts)


def compare(base: Run, new: Run, look_again: LookAgain, gate: Gate = DEFAULT) -> Comparison:
    """Judge every subject that BASE holds; one that NEW lacks is missing.

    Where a verdict on draws is worse or unclear, `look_again` gives cells of NEW with fresh draws, or the reason why
    it cannot. The fresh draws are judged alone, never pooled with the first: the first were selected
    for their verdict.
    """
    sides = {subject: (cells, new.cells[subject]) for subject, cells in base.cells.items() if subject in new.cells}

    def verdicts_on(sides: Sides) -> list[Verdict]:
        """An unclear verdict is no advice."""
        found = judge(sides, base.context, new.context, gate.margins)
        heard = [verdict for verdict in found if gate.covers(verdict.metric) or verdict.word != UNCLEAR]
        return [replace(verdict, word=gate.word(verdict.metric, verdict.word)) for verdict in heard]

    first = verdicts_on(sides)
    doubtful = dict.fromkeys(verdict.subject for verdict in first if verdict.doubtful)
    looks = {subject: look_again(subject) for subject in doubtful}
    fresh = {subject: (sides[subject][0], cells) for subject, cells in looks.items() if not isinstance(cells, str)}
    second = {verdict.key: verdict for verdict in verdicts_on({**sides, **fresh})}
    verdicts = [_final(verdict, second, looks) if verdict.doubtful else verdict for verdict in first]
    missing = [
        subject
        for subject, cells in base.cells.items()
        if subject not in new.cells and any(cell.status in _EVIDENCE for cell in cells)
    ]
    verdicts += [Verdict(subject, STATUS, "", MISSING, reason=_elsewhere(subject, new)) for subject in missing]
    return Comparison(
        sorted(verdicts, key=lambda verdict: VERDICTS.index(verdict.word)),
        [subject for subject in new.cells if subject not in base.cells],
        [subject for subject, cells in new.cells.items() if any(cell.status == "error" for cell in cells)],
        _notes(sides.values()),
        gate,
    )


def _elsewhere(subject: Subject, new: Run) -> str:
    """That NEW lacks a subject, and where it measured the same on another device or other data."""
    places = [each for each in new.cells if each._replace(data=subject.data, device=subject.device) == subject]
    had = ", ".join(filter(None, (subject.data, subject.device)))
    found = " and ".join(", ".join(filter(None, (each.data, each.device))) for each in places)
    return f"not in NEW, which measured it on {found} instead of {had}" if places else "not in NEW"


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
