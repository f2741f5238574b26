"""Which estimator to use for the caller's own problem."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from ...estimators.latents import Latent, Objective
from ...estimators.names import UsageError
from ...estimators.registry import ESTIMATORS
from ...estimators.validation import unsettled
from ..escapes import terminal
from ..ranking.budget import COUNTS, Budget
from ..report.numbers import plain, with_interval
from .candidates import Entrant, entrants
from .given import Asked, Given
from .html import html_table
from .progress import progress_bar
from .race import Race, race
from .seeds import more_seeds
from .training_race import Train, TrainingRace, training_race

CAVEAT = (
    "No training was run, and the error of a gradient alone does not decide one: over the trainings of the quick run, "
    "the rank correlation of the test ELBO with the variance at the logits is -0.59 (200 bits) and -0.34 (20 variables "
    "of 10 classes), with the bias -0.26 and -0.21. To train a model, pass train= and compare trainings."
)

TRAINED = (
    "Losses are f at a draw of z for every estimator, means over the last quarter of the steps, at equal steps; the "
    "worse half of the candidates dropped out at each doubling of the steps, at one seed."
)
FRONT, UNSHOWN = ("estimator", "error", "lo", "hi"), ("objective", "scale_lo", "scale_hi")


@dataclass(frozen=True, repr=False)
class Advice:
    """The answer. pick: None where no estimator is shown to be better than no gradient. ties: what may be as good.

    sentence: the answer in words. cost: of the pick. code: lines to paste. note: what the answer rests on. numbers: one
    line per candidate, best first.
    """

    pick: str | None
    ties: Sequence[str]
    sentence: str
    cost: str
    code: str
    note: str
    numbers: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """All numbers, one line per candidate, best first."""
        return self.numbers.copy()

    def __repr__(self) -> str:
        answer = f"{self.sentence} {self.cost}".strip()
        return terminal("\n\n".join(part for part in (answer, self.code, self.note) if part))

    def _repr_html_(self) -> str:
        lines = self.numbers.to_dict("records")
        text = self.numbers.map(lambda x: plain(x) if isinstance(x, float) else str(x)).drop(columns=["lo", "hi"])
        value = self.numbers.columns[1]
        text[value] = [with_interval(x[value], x["lo"], x["hi"]) for x in lines]
        return html_table(text, *(x for x in (self.sentence, self.cost, self.code, self.note) if x))


def advise(
    f: Objective,
    latent: Latent,
    calls: float = 2,
    seconds: float = 30,
    estimators: Asked | Iterable[Asked] | None = None,
    differentiation: str = COUNTS,
    train: Train | None = None,
    seed: int = 0,
) -> Advice:
    """Race estimators on f at `latent.params` and name the best one for `calls` evaluations of f per data point.

    f and latent are those of `measure`. seconds: about how long the race may take. estimators: the candidates, by
    default all, and several sizes. differentiation: "counts" if differentiating f costs one more evaluation, "free" if
    the parameters of f are trained anyway.

    train: a function from an estimator to a training step, which is a function that makes one step and returns its
    loss; the race is then a short training with each. `train` builds a fresh model and takes its random numbers from
    torch; all trainings start from the same random state. Use it where the estimator is to train a model: the error of
    a gradient does not decide how a training ends.

        advise(lambda z: (z - 0.45).square().sum(-1), Bernoulli(torch.zeros(5)))

    A terminal or a notebook shows a bar. Raises UsageError for bad input and where no estimator applies, what f raises
    and, if every candidate fails, what the first one raised.
    """
    if not seconds > 0:
        raise UsageError(f"advise needs a positive number of seconds, not seconds={seconds!r}")
    budget, task = Budget(calls, differentiation=differentiation), Given(f, latent)
    latent.validate()
    if train is None and (problem := unsettled(f, latent)):
        warnings.warn(problem, stacklevel=2)
    field = entrants(estimators, task, budget)
    with progress_bar() as show:
        if train is not None:
            return _by_training(training_race(task, field, train, seconds, seed, show), field)
        return _by_error(race(task, field, budget, seconds, seed, show), field)


def _by_error(found: Race, field: Sequence[Entrant]) -> Advice:
    ranking = found.ranking
    mean = (
        f"The exact gradient is a long mean of {found.reference}, its own error included. " if found.reference else ""
    )
    sentence, note = ranking.sentence(), f"{mean}{CAVEAT}"
    table = ranking.table()
    numbers = _with_failures(table[[*FRONT, *(x for x in table if x not in (*FRONT, *UNSHOWN))]], found.failed)
    if ranking.best is None:
        return Advice(None, (), sentence, "", "", note, numbers)
    pick = next(entrant for entrant in field if entrant.name == ranking.best)
    return Advice(pick.name, ranking.tied[1:], sentence, f"{_cost(pick)}.", _code(pick, pick.draws), note, numbers)


def _by_training(found: TrainingRace, field: Sequence[Entrant]) -> Advice:
    finishes = [x for x in found.trained.finishes if x.group]
    rows = [(x.estimator, -x.elbo.value, -x.elbo.hi, -x.elbo.lo, x.group == 1, found.steps, x.seeds) for x in finishes]
    rows += [(name, loss, math.nan, math.nan, False, steps, 1) for name, (loss, steps) in found.early.items()]
    lost = {x.estimator: x.reason for x in found.trained.finishes if not x.group}
    rows += [(name, math.inf, math.nan, math.nan, False, found.steps, 0) for name in lost]
    numbers = pd.DataFrame(rows, columns=["estimator", "loss", "lo", "hi", "tied", "steps", "seeds"])
    numbers["seconds_per_step"] = numbers["estimator"].map(found.pace)
    numbers["reason"] = [lost.get(name, "") for name in numbers["estimator"]]
    numbers = _with_failures(numbers, found.failed)
    if not finishes:
        return Advice(None, (), f"Every training diverged within {found.steps} steps.", "", "", "", numbers)
    first, *ties = found.trained.tied
    pick = next(entrant for entrant in field if entrant.name == first)
    best = finishes[0]
    loss = with_interval(-best.elbo.value, -best.elbo.hi, -best.elbo.lo)
    sentence = f"{first} trains best: a loss of {loss} after {found.steps} steps, {best.seeds} seeds."
    if ties:
        more = max(more_seeds(found.trained, first, name) for name in ties)
        settle = f"; about {more:.0f} more seeds would settle it" if math.isfinite(more) else ""
        sentence += f" Too close to call: {', '.join(ties)} tie{'s' * (len(ties) == 1)} with it{settle}."
    cost = f"{_cost(pick)}; {1e3 * found.pace[first]:.3g} ms per training step."
    return Advice(first, ties, sentence, cost, _code(pick, 1), TRAINED, numbers)


def _with_failures(numbers: pd.DataFrame, failed: dict[str, Exception]) -> pd.DataFrame:
    reasons = [f"{type(error).__name__}: {error}" for error in failed.values()]
    lost = pd.DataFrame({"estimator": list(failed), "reason": reasons}, dtype=object)
    return (
        pd.concat([numbers[~numbers["estimator"].isin(list(failed))], lost], ignore_index=True) if failed else numbers
    )


def _cost(pick: Entrant) -> str:
    parts = [(pick.evaluations, "evaluation"), (pick.differentiations, "differentiation")]
    spent = " and ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in parts if count)
    return f"One gradient draw costs {spent or 'no evaluation'} of f per data point"


def _code(pick: Entrant, draws: int) -> str:
    """Lines that make the estimator and the loss; the mean of several draws if the budget affords them."""
    try:
        ESTIMATORS.find(pick.name.partition(":")[0])
        make = f'pick = estimator("{pick.name}", latent.spec)'
    except UsageError:  # the caller's own class
        make = f"pick = {type(pick.make().top).__name__}(latent.spec)"
    if pick.tuned:
        return "\n".join(
            (
                f"{make}",
                "tuner = Tuner(pick)",
                "estimate = pick.estimate(f, latent)  # in each training step",
                "tuner.step(estimate.tuning_loss)",
                "loss = estimate.spliced(latent).mean()",
            )
        )
    if draws == 1:
        return f"{make}\nloss = pick(f, latent).mean()  # in each training step"
    return f"{make}\nloss = sum(pick(f, latent).mean() for _ in range({draws})) / {draws}  # in each training step"
