"""What trainings reached: the test ELBO at equal steps and at equal training time, in groups, from stored rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from ..log_z import GAP, UNCERTAIN, uncertain
from ..rows import Quantity
from ..sources import STEPS
from ..statistics.intervals import t_quantile
from ..statistics.seeds import seed_floor
from .ranking import LEVEL

ELBO, SECONDS, UNSUPPORTED = "elbo_test", "seconds", "unsupported"
OF_TRAINING = (ELBO, SECONDS, GAP, "")
"""The metrics of the rows that are read here; "" of those that record a failure."""


@dataclass(frozen=True)
class Finish:
    """One estimator's place. elbo: mean over seeds in nats, with its interval. group: 1 if tied with the best, 0 if it
    has no ELBO there, for which `reason` says why.
    """

    estimator: str
    group: int
    elbo: Quantity
    seeds: int
    reason: str = ""


@dataclass(frozen=True)
class Trained:
    """The estimators of one training task by test ELBO, best first. at: "500 steps" or "4 s of training".

    scores: [estimator, seed] -> ELBO. images: estimator -> its standard error over test images, the mean of its seeds.
    floor: the standard deviation of an ELBO over seeds (`seed_floor`), NaN with one seed.
    """

    at: str
    finishes: Sequence[Finish]
    scores: pd.DataFrame
    images: pd.Series
    floor: float

    @property
    def tied(self) -> list[str]:
        """All that may be the best, the best first; empty where nothing was trained."""
        return [x.estimator for x in self.finishes if x.group == 1]

    def lead(self, one: str, other: str) -> Quantity:
        """By how many nats the ELBO of `one` is above that of `other`, with a 95 % interval; seeds are paired."""
        value, se, degrees = self.difference(one, other)
        half = t_quantile(0.025, degrees) * se
        return Quantity(value, se, value - half, value + half)

    def difference(self, one: str, other: str, *, relative: bool = False) -> tuple[float, float, float]:
        """The mean difference of two ELBOs over the seeds of both, its standard error, and the degrees of freedom.

        The error is that of the differences or, if larger, that of two scores that vary by `floor`: the differences of
        two or three seeds alone can be small by chance. With one seed it is over test images. relative: where all ELBOs
        are negative, the differences are those of log -ELBO, in nats. One wild seed of an estimator, all of whose seeds
        end far below, then does not make it as good as any.
        """
        scores, images, row = self._numbers
        pairs = scores[[row[one], row[other]]]
        pairs = pairs[:, ~np.isnan(pairs).any(0)]
        differences = pairs[0] - pairs[1]
        estimators, seeds = len(scores), len(differences)
        if seeds < 2:
            return (
                float(differences.mean()) if seeds else math.nan,
                float(np.hypot(images[row[one]], images[row[other]])),
                math.inf,
            )
        spread = float(np.nanmax([_spread(pairs, relative), math.sqrt(2) * self.floor]))
        return float(differences.mean()), spread / math.sqrt(seeds), (estimators - 1) * (seeds - 1)

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """scores, images, and the row of each estimator in them; comparing many pairs by name is slow."""
        rows = {str(name): i for i, name in enumerate(self.scores.index)}
        return self.scores.to_numpy(dtype=float), self.images.to_numpy(dtype=float), rows

    def finish(self, estimator: str, group: int) -> Finish:
        """An estimator's place, with the mean of its seeds and its interval."""
        scores = self.scores.loc[estimator].dropna().to_numpy(dtype=float)
        seeds = len(scores)
        value, degrees = float(scores.mean()), (seeds - 1) or math.inf
        se = float(scores.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else float(self.images[estimator])
        half = t_quantile(0.025, degrees) * se
        return Finish(estimator, group, Quantity(value, se, value - half, value + half), seeds)

    def table(self) -> pd.DataFrame:
        """One line per estimator: estimator, group, tied, elbo, lo, hi, seeds, reason."""
        rows = [
            (x.estimator, x.group, x.group == 1, x.elbo.value, x.elbo.lo, x.elbo.hi, x.seeds, x.reason)
            for x in self.finishes
        ]
        return pd.DataFrame(rows, columns=["estimator", "group", "tied", "elbo", "lo", "hi", "seeds", "reason"])


def at_steps(rows: pd.DataFrame, steps: int | None = None) -> Trained:
    """The test ELBO after `steps` steps; default: the last step of most trainings. rows: of one task and device."""
    curves = _curves(rows)
    if steps is None:
        steps = int(curves.groupby(["estimator", "seed"])["step"].max().mode().max()) if len(curves) else 0
    there = curves[curves["step"] == steps]
    return _trained(f"{steps} steps", there, curves, _failed(rows), f"not evaluated after {steps} steps")


def at_seconds(rows: pd.DataFrame, seconds: float | None = None) -> Trained:
    """The test ELBO after so many seconds of training, between evaluations by interpolation in log time.

    Default: the seconds of the training that ended first, so that nothing is extrapolated. rows: as for `at_steps`.
    """
    curves = _curves(rows).dropna(subset="seconds")
    if seconds is None:
        seconds = float(curves.groupby(["estimator", "seed"])["seconds"].max().min()) if len(curves) else 0.0
    there = [
        (estimator, seed, *_at(curve, seconds)) for (estimator, seed), curve in curves.groupby(["estimator", "seed"])
    ]
    reached = pd.DataFrame(there, columns=["estimator", "seed", "value", "se"]).dropna(subset="value")
    missing = f"no evaluations on both sides of {seconds:.3g} s"
    return _trained(f"{seconds:.3g} s of training", reached, curves, _failed(rows), missing)


def of_scores(at: str, scores: pd.DataFrame, images: pd.Series, reasons: Mapping[str, str]) -> Trained:
    """From scores [estimator, seed] and their errors over images; reasons: of the estimators that have no score."""
    found = Trained(at, (), scores, images, seed_floor(scores.to_numpy(dtype=float)))
    last = [Finish(name, 0, Quantity(math.nan), 0, reasons[name]) for name in sorted(reasons)]
    return replace(found, finishes=[*_finishes(found), *last])


def _spread(pairs: np.ndarray, relative: bool) -> float:
    """The standard deviation of the differences of two rows of ELBOs [2, seeds], in nats, as in `difference`.

    The scale from logarithms to nats is the logarithmic mean of the two, their difference over that of their logs.
    """
    if not (relative and (pairs < 0).all()):
        return float((pairs[0] - pairs[1]).std(ddof=1))
    logs, (one, other) = np.log(-pairs), -pairs.mean(1)
    scale = (one - other) / math.log(one / other) if one != other else one
    return float(scale * (logs[0] - logs[1]).std(ddof=1))


def _curves(rows: pd.DataFrame) -> pd.DataFrame:
    """estimator, seed, step -> value, se, seconds (NaN if not kept) of every evaluation, but of no failed training."""
    steps = rows[rows["metric"].isin((ELBO, SECONDS))]
    steps = steps[(steps["source"] == STEPS.name) & (steps["group"] == "")]
    keys = ["estimator", "seed", "step"]
    elbo = steps.loc[steps["metric"] == ELBO, [*keys, "value", "se"]]
    spent = steps.loc[steps["metric"] == SECONDS, [*keys, "value"]].rename(columns={"value": "seconds"})
    curves = elbo.merge(spent, on=keys, how="left").sort_values(keys, kind="stable")
    failed = pd.MultiIndex.from_frame(_failed(rows)[["estimator", "seed"]])
    return curves[~pd.MultiIndex.from_frame(curves[["estimator", "seed"]]).isin(failed)]


def _failed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of trainings that ended badly, or whose log Z is uncertain; what does not apply to the task was never a
    training."""
    bad = (rows["metric"] == "") & ~rows["status"].isin(["ok", UNSUPPORTED])
    ended = rows[bad & rows["source"].isin([STEPS.name, ""])]
    return pd.concat([ended, uncertain(rows).assign(status=UNCERTAIN)])


def _at(curve: pd.DataFrame, seconds: float) -> tuple[float, float]:
    """ELBO and its error over images at that time; NaN before the first and after the last evaluation."""
    spent = np.log(curve["seconds"].to_numpy(dtype=float))
    columns = (curve[name].to_numpy(dtype=float) for name in ("value", "se"))
    value, se = (np.interp(math.log(seconds), spent, y, left=np.nan, right=np.nan) for y in columns)
    return float(value), float(se)


def _trained(at: str, reached: pd.DataFrame, curves: pd.DataFrame, failed: pd.DataFrame, missing: str) -> Trained:
    """reached: estimator, seed, value, se of those with an ELBO there. missing: why others of `curves` have none.

    An estimator without an ELBO there at one of its seeds has none: the other seeds are not a fair sample.
    """
    seeds, there = curves.groupby("estimator")["seed"].nunique(), reached.groupby("estimator").size()
    reasons = {str(name): missing for name, n in seeds.items() if n > there.get(name, 0)}
    for name, part in failed.groupby("estimator"):
        count = part["seed"].nunique()
        reasons[str(name)] = f"{count} seed{'s' * (count > 1)} {', '.join(sorted(set(part['status'])))}"
    whole = reached[~reached["estimator"].isin(list(reasons))]
    scores = whole.pivot(index="estimator", columns="seed", values="value")
    images = whole.groupby("estimator")["se"].mean().reindex(scores.index)
    return of_scores(at, scores, images, reasons)


def _finishes(found: Trained) -> list[Finish]:
    """The estimators with an ELBO, in groups as in `ranking`."""
    rest = list(found.scores.mean(axis=1).sort_values(ascending=False, kind="stable").index)
    level, finishes, group = LEVEL / max(1, len(rest) - 1), [], 0
    while rest:
        group += 1
        tied = [name for name in rest if _tie(found, rest[0], name, level)]
        finishes += [found.finish(name, group) for name in tied]
        rest = [name for name in rest if name not in tied]
    return finishes


def _tie(found: Trained, best: str, other: str, level: float) -> bool:
    if best == other:
        return True
    value, se, degrees = found.difference(best, other, relative=True)
    return not value - t_quantile(level, degrees) * se > 0
