"""The recommendation: the least gradient error, unless trainings show otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .candidate import EXPECTATION
from .ranking import Ranking
from .trained import Trained


@dataclass(frozen=True)
class Recommendation:
    """pick: None where neither error nor training favours any. tied: all that may be as good, the pick first.

    agree: whether error and training allow the same pick; True where only one of them says anything.
    """

    pick: str | None
    tied: Sequence[str]
    agree: bool
    sentence: str


def recommend(ranking: Ranking, trained: Trained | None = None) -> Recommendation:
    """Follow the training where there is one: the error of a gradient does not decide how a training ends.

    Among those that trained best, the one of least error is picked. Those that the ranking has for another objective
    than E f do not compete.
    """
    elsewhere = {line.estimator for line in ranking.lines if line.objective != EXPECTATION}
    finishes = [x for x in trained.finishes if x.group and x.estimator not in elsewhere] if trained else []
    if trained is None or not finishes:
        return Recommendation(ranking.best, ranking.tied, True, ranking.sentence())
    top = [x.estimator for x in finishes if x.group == finishes[0].group]
    by_error = [name for group in ranking.groups for name in group if name in top]
    pick = (by_error or top)[0]
    tied = [pick, *(name for name in top if name != pick)]
    agree = pick in ranking.tied or not ranking.tied
    sentence = _trained_best(tied, trained) + ("" if agree else _disagreement(pick, ranking.tied[0], trained))
    return Recommendation(pick, tied, agree, sentence)


def best_trained(ranking: Ranking, trained: Trained) -> Recommendation | None:
    """The recommendation among those that were trained; None where nothing was. Every face names these.

    Where all are of another objective than E f, those that may have the best ELBO are tied.
    """
    found = recommend(ranking, trained)
    if any(x.group and x.estimator == found.pick for x in trained.finishes):
        return found
    tied = trained.tied
    return Recommendation(tied[0], tied, True, _trained_best(tied, trained)) if tied else None


def _trained_best(tied: Sequence[str], trained: Trained) -> str:
    pick, *others = tied
    elbo, seeds = next(x.elbo for x in trained.finishes if x.estimator == pick), trained.scores.shape[1]
    reached = f"{elbo.value:.5g} [{elbo.lo:.5g}, {elbo.hi:.5g}] nats after {trained.at}"
    ties = f" {', '.join(others)} tie{'s' * (len(others) == 1)} with it." if others else ""
    return f"{pick} trains best: a test ELBO of {reached}, {seeds} seed{'s' * (seeds > 1)}.{ties}"


def _disagreement(pick: str, favoured: str, trained: Trained) -> str:
    if favoured not in trained.scores.index:
        return f" The error of the gradient favours {favoured}, whose training did not get there."
    lead = trained.lead(pick, favoured)
    behind = f"{lead.value:.3g} [{lead.lo:.3g}, {lead.hi:.3g}] nats worse"
    return f" The error of the gradient favours {favoured}, which trained {behind}: follow the training."
