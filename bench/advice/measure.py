"""The table of estimators for the caller's own objective, at the caller's own parameters."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import pandas as pd

from ...estimators.contract import Unsupported
from ...estimators.latents import Latent, Objective
from ...estimators.names import UsageError
from ...estimators.validation import unsettled
from ..ranking.budget import COUNTS, Budget
from ..ranking.ranking import rank
from ..report import tables_of
from ..rows import outcome
from ..sources import DRAWS
from ..sources.settings import DrawSettings
from .drawn import Drawn
from .given import Asked, Given, makers
from .measurement import Measurement, ranked
from .progress import progress_bar
from .reference import Reference

BLOCK = 64
LEAST = 8 * BLOCK
"""The fewest draws: 8 in each block."""


def measure(
    f: Objective,
    latent: Latent,
    estimators: Asked | Iterable[Asked] = "all",
    draws: int = 64_000,
    seed: int = 0,
    calls: float = 2,
    differentiation: str = COUNTS,
) -> Measurement:
    """Bias, variance, cost and rank of estimators of ∇ E_q f at `latent.params`; one line per estimator.

    f maps z [n, *batch, *event] to [n, *batch] and must broadcast over extra dimensions between n and batch: replicates
    stand there. Bounds take f for -log p(x, z), and their bias is against the gradient of their own bound. With more
    than 4096 configurations of z, the exact gradient is replaced by a long mean of an unbiased estimator, whose own
    error is in every interval; bounds then have no bias.

    estimators: one or several of names as on the command line, `Estimator` classes, and estimators made for this
    latent. Those with parameters of their own are first tuned, on a copy; an estimator in eval() is measured as it is.
    One that fails has the verdict `error`, one named that is not defined for this latent or f `unsupported`; `reason`
    says why. Those that a word or a glob names are left out where they do not apply.

    calls: evaluations of f per data point, the budget at which the error of the gradient is compared. differentiation:
    "counts" if differentiating f costs one more of them, "free" if the parameters of f are trained anyway.

        found = measure(lambda z: (z - 0.45).square().sum(-1), Bernoulli(torch.zeros(5)), ["rloo:n=4", "disarm"])
        found.best(), found.frame(), found.plot()

    A terminal or a notebook shows a bar. Raises UsageError for anything else, for an estimator of another latent, for
    an f of another shape, for an empty latent and for fewer than 512 draws; what f raises; and, if every estimator
    fails, what the first one raised.
    """
    if not isinstance(draws, int) or draws < LEAST:
        raise UsageError(f"measure needs a whole number of draws, at least {LEAST}, not draws={draws!r}")
    budget, task = Budget(calls, differentiation=differentiation), Given(f, latent)
    if problem := unsettled(f, latent):
        warnings.warn(problem, stacklevel=2)
    settings = DrawSettings(rows=draws // BLOCK, elements=float("inf"))
    asked, unnamed = makers(estimators, task)
    rows: list[dict[str, Any]] = []
    errors: list[Exception] = []
    drawn: list[Drawn] = []
    left_out = 0
    with progress_bar() as show:
        show(0, "the reference" if not task.enumerable else "")
        reference = Reference.drawn(task, settings, seed)
        for done, (name, make) in enumerate(asked.items()):
            show(done / len(asked), name)
            identity = _identity(name, task, seed)
            try:
                found = Drawn.of(name, make(), task, settings, seed, reference)
            except Unsupported as reason:
                if name in unnamed:
                    left_out += 1
                else:
                    rows.append(identity | outcome("unsupported", str(reason)))
                continue
            except Exception as error:
                error.add_note(f"measuring {name}")
                errors.append(error)
                rows.append(identity | outcome("error", f"{type(error).__name__}: {error}"))
                continue
            drawn.append(found)
            rows.extend(identity | row for row in found.rows())
    if errors and not drawn and len(errors) + left_out == len(asked):
        raise errors[0]
    if not rows:
        raise UsageError(f"none of the {left_out} estimators asked for applies to {latent!r} and this f: name another")
    ranking = rank([candidate for each in drawn if (candidate := each.candidate()) is not None], budget)
    return Measurement(ranking, ranked(_numbers(rows), ranking), left_out, reference.name if reference else "")


def _identity(name: str, task: Given, seed: int) -> dict[str, Any]:
    return {
        "estimator": name,
        "family": name.partition(":")[0],
        "seed": seed,
        "data": "",
        "task": task.name,
        "source": DRAWS.name,
        "device": str(task.device),
        "collector": "",
        "tuned_steps": 0,
    }


def _numbers(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The numbers of the toy table and a line for each estimator that it leaves out, with the reason."""
    numbers = tables_of(pd.DataFrame(rows))[0].numbers
    ends = {row["estimator"]: row for row in rows if row["metric"] == ""}
    known = set(numbers["estimator"])
    absent = [{"estimator": name, "verdict": row["status"]} for name, row in ends.items() if name not in known]
    numbers = pd.concat([numbers, pd.DataFrame(absent)], ignore_index=True) if absent else numbers
    numbers["reason"] = [ends[name]["reason"] if name in ends else "" for name in numbers["estimator"]]
    return numbers.drop(columns=["task", "data", "device", "time", "time_lo", "time_hi"], errors="ignore")
