"""What a reader wants to see of a run: which estimators and tasks, under which names, and which ones stand out."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from dvae_bench.estimators.names import UsageError, nearest

from ..escapes import figure
from .palette import PLUGIN, family

RANKING, NAME = "ranking", "name"
REFERENCES = ("rloo", "straight-through", "gumbel-softmax", "reinforce")
"""What papers compare with: named in every figure, as the best and the highlighted estimators are."""
_LONGEST = 30  # letters of a label


@dataclass(frozen=True)
class View:
    """The choice and the look of estimators in a figure or table.

    estimators, tasks: stored names ("rloo:n=4"), families and globs; () for all.
    highlight: names or globs that stand out; () for the estimators from plugins. labels: name -> the text shown for
    it. order: RANKING or NAME. most: how many estimators a panel or a table names; None for as many as are legible.
    """

    estimators: Sequence[str] = ()
    tasks: Sequence[str] = ()
    highlight: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    order: str = RANKING
    most: int | None = None

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of the chosen estimators and tasks. Raises UsageError for a name that no row has."""
        for column, patterns in {
            "estimator": [*self.estimators, *self.highlight, *self.labels],
            "task": self.tasks,
        }.items():
            names = [str(name) for name in rows[column].unique()]
            for pattern in patterns:
                if not _chosen(names, [pattern]):
                    raise UsageError(f"these results have no {column} {pattern!r}{nearest(pattern, names)}")
        for column, patterns in (("estimator", self.estimators), ("task", self.tasks)):
            if patterns:
                rows = rows[rows[column].isin(_chosen([str(name) for name in rows[column].unique()], patterns))]
        return rows

    def highlighted(self, estimator: str) -> bool:
        """Whether it stands out: as asked for, by default because it comes from a plugin."""
        return (
            any(_match(pattern)(estimator) for pattern in self.highlight)
            if self.highlight
            else family(estimator) == PLUGIN
        )

    def label(self, estimator: str, longest: int = _LONGEST) -> str:
        """The text shown for an estimator, on one line; the middle of a long name is left out."""
        named = self.labels.get(estimator, self.labels.get(estimator.partition(":")[0]))
        text = figure(estimator if named is None else named)
        if len(text) <= longest:
            return text
        return f"{text[: longest - longest // 3 - 1]}…{text[-(longest // 3) :]}"

    def named(self, best_first: Sequence[str], room: int) -> list[str]:
        """The estimators named where at most `room` can be: the highlighted, the best, the reference ones, more best.

        They keep the order of `best_first`, or stand by name.
        """
        most = room if self.most is None else min(room, self.most)
        wanted = [
            *(name for name in best_first if self.highlighted(name)),
            *best_first[:1],
            *(name for name in best_first if name in REFERENCES),
            *best_first,
        ]
        kept = set(list(dict.fromkeys(wanted))[: max(most, 1)])
        shown = [name for name in best_first if name in kept]
        return sorted(shown) if self.order == NAME else shown


def _chosen(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """The names that a pattern means: that name or, where there is none, the variants of that family or the glob."""
    known = set(names)
    return {
        name for pattern in patterns for name in ([pattern] if pattern in known else filter(_match(pattern), known))
    }


def _match(pattern: str) -> Callable[[str], bool]:
    return lambda name: any(fnmatch.fnmatchcase(text, pattern) for text in (name, name.partition(":")[0]))
