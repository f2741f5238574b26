"""The gate: which metrics can fail a comparison, which only advise, and how far each may change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...estimators.names import UsageError
from .effect import BETTER, SAME, UNCLEAR, WORSE, percent
from .metrics import KINDS, MARGINS

STATUS = "status"
MISSING, ADVICE = "missing", "advice"
VERDICTS = (MISSING, WORSE, UNCLEAR, BETTER, ADVICE, SAME)
FAIL_ON = {"worse": (MISSING, WORSE), "unclear": (MISSING, WORSE, UNCLEAR), "error": (MISSING,)}
ADVISING = ("operations", "bytes", "time")
GATING = tuple(kind for kind in KINDS if kind not in ADVISING)


@dataclass(frozen=True)
class Gate:
    """kinds: the metrics that can fail; the others advise. fails: the words that fail. margins: by stored metric.

    How a cell ended always gates.
    """

    kinds: tuple[str, ...] = GATING
    fails: tuple[str, ...] = FAIL_ON["worse"]
    margins: Mapping[str, float] = field(default_factory=MARGINS.copy)

    @classmethod
    def parse(cls, kinds: str, fail_on: str, margins: Iterable[str]) -> Gate:
        """The gate of `bias,variance`, `worse` and `operations=5%`. Raises UsageError where a name is unknown."""
        chosen = tuple(dict.fromkeys(kind.strip() for kind in kinds.split(",")))
        for kind in chosen:
            _known("--gate", kind)
        if fail_on not in FAIL_ON:
            raise UsageError(f"unknown --fail-on {fail_on!r}; choose one of {', '.join(FAIL_ON)}")
        return cls(chosen, FAIL_ON[fail_on], MARGINS | dict(pair for text in margins for pair in _margin(text)))

    def covers(self, metric: str) -> bool:
        return metric == STATUS or any(metric in KINDS[kind] for kind in self.kinds)

    def word(self, metric: str, word: str) -> str:
        """The word of a verdict, or `advice` for one on a metric that cannot fail."""
        return word if word == SAME or self.covers(metric) else ADVICE

    def margins_text(self) -> str:
        """The margin of each kind of metric."""
        of = {kind: " of the gradient" if kind == "bias" else "" for kind in KINDS}
        return ", ".join(f"{kind} {percent(self.margins[metrics[-1]])}{of[kind]}" for kind, metrics in KINDS.items())


DEFAULT = Gate()


def _margin(text: str) -> list[tuple[str, float]]:
    kind, _, size = (part.strip() for part in text.partition("="))
    _known("--margin", kind)
    try:
        margin = float(size.removesuffix("%")) / (100 if size.endswith("%") else 1)
    except ValueError:
        margin = math.nan
    if not 0 <= margin < math.inf:
        raise UsageError(f"--margin {text!r} gives no size; write {kind}=5% or {kind}=0.05")
    return [(metric, margin) for metric in KINDS[kind]]


def _known(option: str, kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"{option} knows no metric {kind!r}; choose from {', '.join(KINDS)}")
