"""The answers of a run: the best estimators of each task, from the one ranking, and the claims that it contradicts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd

from ..latents import latent_of
from ..ranking.budget import Budget
from ..ranking.candidate import Candidate
from ..ranking.ranking import Ranking, rank
from ..ranking.recommend import best_trained
from ..ranking.trained import Trained
from ..rows import Quantity
from .columns import Column, columns
from .contest import Contest, ranked_toy
from .once import once
from .placing import candidates_of
from .rows import CELL, of_metric, settings
from .verdicts import BIASED, UNBIASED, verdicts

SHOWN = 3
"""How many ties an answer names; the others are counted."""
KINDS = ("bernoulli", "categorical", "subset", "sequence", "encodings", "continuous or unknown")
QUADRATIC = ("bit-table", "category-table")
LABELS = {
    "categorical": "categorical 20x10 is 20 variables of 10 classes",
    "sequence": "sequence 3x3 is at most 3 tokens out of 3",
    "encodings": "encodings 16x8 is 16 of 8 numbers",
}
NONE = "none is shown to be better than no gradient"
FOOTNOTE = (
    "On bit-table and category-table f is quadratic in each coordinate, for which reinmax is exactly unbiased: "
    "extension=cubic shows its bias."
)


@dataclass(frozen=True)
class Answer:
    """kind: of the latent. best: the estimators that may be the best, the first one first; empty if there is none."""

    kind: str
    setting: str
    question: str
    best: Sequence[str]
    value: str = ""

    @property
    def text(self) -> str:
        """The estimator, its number, and what ties with it."""
        if not self.best:
            return NONE
        first, *ties = self.best
        named = ", ".join(ties[:SHOWN]) + (f" and {len(ties) - SHOWN} more" if len(ties) > SHOWN else "")
        return f"{first} {self.value}" + (f"; tied: {named}" if ties else "")


def answers(rows: pd.DataFrame, budget: Budget | None = None) -> list[Answer]:
    """The answers of every setting, those of one kind of latent together, toys before trainings. rows: as prepared."""
    budget, able, shown, order = budget or Budget(), candidates_of(rows), shown_unbiased(rows), settings(rows)
    every = sorted(columns(rows), key=lambda x: (x.trained, order.index(x.setting)))
    contest, rankings = Contest(rows, every), {setting: rank(found, budget) for setting, found in able.items()}
    most = math.inf if budget.seconds is not None else budget.evaluations
    answered: list[Answer] = []
    for column in every:
        if column.trained:
            toy = ranked_toy(column.kind, every, able)
            ranking = rankings[toy.setting] if toy else Ranking(budget, [])
            answered += _of_training(column, ranking, contest.ends(column, most).values())
        elif able[column.setting]:
            unbiased = best_of(able[column.setting], shown[column.setting], budget)
            answered.append(_least(column.task, "least error", rankings[column.setting]))
            answered.append(_least(column.task, "of the unbiased", unbiased))
    return sorted(answered, key=lambda answer: KINDS.index(answer.kind))


def shortened(every: Sequence[Answer], most: int) -> list[Answer]:
    """At most so many of these answers, in their order: of each kind of latent its first settings."""
    settings: dict[str, dict[str, list[Answer]]] = {}
    for answer in every:
        settings.setdefault(answer.kind, {}).setdefault(answer.setting, []).append(answer)
    turns = zip_longest(*(own.values() for own in settings.values()), fillvalue=[])
    kept: list[Answer] = []
    for answer in (answer for turn in turns for setting in turn for answer in setting):
        kept += [answer] if len(kept) < most else []
    return [answer for answer in every if answer in kept]


@once
def claims_of_bias(rows: pd.DataFrame) -> frozenset[str]:
    """The estimators whose logits gradient is biased by their own claim on some task: a test that sees none on another
    does not make them unbiased.
    """
    claims = of_metric(rows, "claims_unbiased")
    return frozenset(claims.loc[(claims["group"] == "cut") & (claims["value"] == 0), "estimator"])


@once
def shown_unbiased(rows: pd.DataFrame) -> dict[Any, set[str]]:
    """[task, data, device] -> the estimators that compete for "best unbiased", on the terminal and on the page."""
    found: dict[Any, set[str]] = defaultdict(set)
    words = verdicts(rows)["verdict"]
    for task, data, device, estimator, group in words.index[words == UNBIASED]:
        if group == "cut" and estimator not in claims_of_bias(rows):
            found[task, data, device].add(estimator)
    return found


def best_of(able: Iterable[Candidate], names: Container[str], budget: Budget) -> Ranking:
    """The ranking of the candidates with these names alone."""
    return rank([candidate for candidate in able if candidate.name in names], budget)


def least_error(ranking: Ranking) -> Quantity | None:
    """The error that the best one leaves; None where there is none."""
    return next((line.error for line in ranking.lines if line.estimator == ranking.best), None)


def _least(task: str, question: str, ranking: Ranking) -> Answer:
    error = least_error(ranking)
    if error is None:
        return Answer(*_setting(task), question, [])
    return Answer(*_setting(task), question, ranking.tied, f"{error.value:.3g} [{error.lo:.3g}, {error.hi:.3g}]")


def _of_training(column: Column, ranking: Ranking, ends: Iterable[Trained]) -> Iterator[Answer]:
    for trained in ends:
        found = best_trained(ranking, trained)
        if found is not None:
            elbo = next(finish.elbo for finish in trained.finishes if finish.estimator == found.tied[0])
            value = f"{elbo.value:.5g} [{elbo.lo:.5g}, {elbo.hi:.5g}] nats"
            yield Answer(*_setting(column.task), f"after {trained.at}", found.tied, value)


def _setting(task: str) -> tuple[str, str]:
    """The kind of a task's latent, and the task with its latent."""
    latent = latent_of(task)
    family = latent.partition(" ")[0]
    return (family if family in KINDS else KINDS[-1]), ", ".join(filter(None, (task, latent)))


def contradicted(rows: pd.DataFrame) -> list[str]:
    """The claims to be unbiased that the bias tests reject, in words. rows: as prepared."""
    keys = [*CELL, "group"]
    claims = rows.loc[(rows["metric"] == "claims_unbiased") & (rows["value"] == 1), keys].drop_duplicates()
    found = verdicts(rows)
    biased = found[found["verdict"] == BIASED].index
    wrong = claims[pd.MultiIndex.from_frame(claims).isin(biased)]
    return [
        f"{line['estimator']} on {line['task']}, group {line['group']}: claims to be unbiased and is biased"
        for line in wrong.to_dict("records")
    ]


def footnotes(tasks: Iterable[str]) -> list[str]:
    """What a reader of the answers on these tasks has to know: the key of their labels, and what a toy cannot show."""
    tasks = set(tasks)
    kinds = {latent_of(task).partition(" ")[0] for task in tasks}
    key = [phrase for kind, phrase in LABELS.items() if kind in kinds]
    return ([f"Labels: {'; '.join(key)}."] if key else []) + ([FOOTNOTE] if tasks & set(QUADRATIC) else [])
