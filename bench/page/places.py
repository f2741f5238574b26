"""At each budget: the ranking of every task, and the best estimators of every kind of latent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..ranking.budget import COUNTS, FREE, Budget
from ..ranking.candidate import EXPECTATION
from ..ranking.ranking import Ranking, rank
from ..ranking.recommend import best_trained
from ..ranking.trained import Trained
from ..report.answers import NONE, best_of, claims_of_bias, least_error, shown_unbiased
from ..report.columns import ORDER, Column
from ..report.contest import Contest, ranked_toy
from ..report.numbers import with_interval
from ..report.placing import candidates_of
from ..report.study import Study
from ..report.verdicts import BIASED, UNBIASED
from ..rows import Quantity

EVALUATIONS = (1, 2, 4, 16)
ONLY = "only evaluated"
DERIVATIVES = {COUNTS: "differentiable", FREE: "differentiated for free", ONLY: ONLY}
Place = tuple[str, int, str, str]
"""An estimator, its group (0 for those that win nothing), its number with interval, and a reason or objective."""


@dataclass(frozen=True)
class Answer:
    """What is best of a kind of latent in one respect; tied: the others that may be as good."""

    question: str
    where: str
    pick: str
    tied: Sequence[str]
    number: str
    note: str


class Places:
    """The rankings of one run. verdicts: [estimator, task] -> "unbiased", "biased" or another word, of the toys."""

    def __init__(self, study: Study, found: Sequence[Column], verdicts: Mapping[tuple[str, str], str]) -> None:
        self.columns, self._verdicts = found, verdicts
        self._candidates, self._contest = candidates_of(study.rows), Contest(study.rows, found)
        self._claim_a_bias, self._unbiased = claims_of_bias(study.rows), shown_unbiased(study.rows)

    def verdict(self, estimator: str, column: Column) -> str:
        """Of a toy, its own; of a trained task, that of all toys of its kind together. "" where nothing is shown: that
        includes an estimator which is biased by its own claim, whose bias the test does not see.
        """
        toys = [column] if not column.trained else [x for x in self.columns if x.kind == column.kind and not x.trained]
        words = {self._verdicts.get((estimator, toy.task), "") for toy in toys}
        word = next((word for word in (BIASED, UNBIASED) if word in words), "")
        return "" if word == UNBIASED and estimator in self._claim_a_bias else word

    def at(self, evaluations: int, derivative: str) -> dict[str, Any]:
        """places: by column, best first; of a trained task by "seconds" and by "steps". answers: kind -> answers."""
        budget = Budget(evaluations, differentiation=FREE if derivative == FREE else COUNTS)
        rankings = {x.setting: self._rank(x, budget, derivative) for x in self.columns if not x.trained}
        ends = {x.setting: self._contest.ends(x, evaluations, derivative != ONLY) for x in self.columns if x.trained}
        places = [
            {name: _finishes(end) for name, end in ends[x.setting].items()}
            if x.trained
            else {"error": _lines(rankings[x.setting])}
            for x in self.columns
        ]
        kinds = [kind for kind in ORDER if any(x.kind == kind for x in self.columns)]
        return {
            "places": places,
            "answers": {kind: [asdict(x) for x in self._answers(kind, rankings, ends, budget)] for kind in kinds},
        }

    def _rank(self, column: Column, budget: Budget, derivative: str) -> Ranking:
        chosen = self._candidates[column.setting]
        return rank([x for x in chosen if derivative != ONLY or not x.differentiations], budget)

    def _answers(self, kind: str, rankings: Any, ends: Any, budget: Budget) -> list[Answer]:
        toy = ranked_toy(kind, self.columns, self._candidates)
        model = max((x for x in self.columns if x.kind == kind and x.trained), key=lambda x: x.sites, default=None)
        answers = []
        if model is not None:
            ranking = rankings[toy.setting] if toy else Ranking(budget, [])
            answers.append(_trained_best(model, ranking, **ends[model.setting]))
        if toy is not None:
            every = rankings[toy.setting]
            names = self._unbiased[toy.setting] & {x.estimator for x in every.lines}
            unbiased = best_of(self._candidates[toy.setting], names, budget)
            answers.append(_least_error("Best unbiased", toy, unbiased))
            answers.append(_least_error("Best at this budget", toy, every))
        return answers


def _trained_best(model: Column, ranking: Ranking, seconds: Trained, steps: Trained) -> Answer:
    """The best at equal time; the note has the best at equal steps too."""
    where = f"{model.latent or model.task}, test ELBO after {seconds.at}"
    timed, stepped = best_trained(ranking, seconds), best_trained(ranking, steps)
    if timed is None:
        return Answer("Best trained", where, "", [], "", "no training within this budget")
    elbo = next(x.elbo for x in seconds.finishes if x.estimator == timed.tied[0])
    note = timed.sentence + (f" At equal steps: {stepped.sentence}" if stepped else "")
    return Answer("Best trained", where, timed.tied[0], timed.tied[1:], f"{elbo.value:.1f} nats", note)


def _least_error(question: str, toy: Column, ranking: Ranking) -> Answer:
    where = f"{toy.latent or toy.task}, error left"
    error = least_error(ranking)
    if error is None:
        return Answer(question, where, "", [], "", NONE)
    return Answer(question, where, ranking.tied[0], ranking.tied[1:], f"error {error.value:.3f}", ranking.sentence())


def _lines(ranking: Ranking) -> list[Place]:
    """Those of E f first; a bound is ranked among the bounds of as many samples, and says so."""
    return [
        (x.estimator, x.group, _text(x.error), x.reason or ("" if x.objective == EXPECTATION else x.objective))
        for x in ranking.lines
    ]


def _finishes(trained: Trained) -> list[Place]:
    return [(x.estimator, x.group, _text(x.elbo), x.reason) for x in trained.finishes]


def _text(quantity: Quantity) -> str:
    return "" if math.isnan(quantity.value) else with_interval(quantity.value, quantity.lo, quantity.hi)
