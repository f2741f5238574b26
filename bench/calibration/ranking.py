"""How often the ranking errs on problems whose errors are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..ranking.budget import Budget
from ..ranking.candidate import EXPECTATION, Candidate
from ..ranking.error import root, squared_error
from ..ranking.ranking import Ranking, rank
from ..statistics.intervals import share_interval
from ..statistics.products import Products
from .problems import CANDIDATES, REFERENCE, Problem

NEAR, CLEARLY = 1.02, 1.1
PROBLEMS, LONG_RUN = 200, 300_000
EXACT, ESTIMATED = "exact", "estimated"
CONDITIONS = ((256, EXACT), (4096, EXACT), (32_000, EXACT), (4096, ESTIMATED))
"""Gradient draws per candidate, and whether the exact gradient is known or a mean of as many draws of REFERENCE."""
RATES = {
    "pick": f"pick ≤ {CLEARLY:g} × best",
    "best_tied": "best in the first group",
    "false_winner": "false winners",
    "false_tie": "false ties",
    "covered": "intervals that cover",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """The true error of each candidate that the budget affords."""

    errors: dict[str, float]

    @classmethod
    def of(cls, candidates: Sequence[Candidate], budget: Budget) -> Truth:
        """From candidates whose products are exact or rest on a long run."""
        affordable = [(c, m) for c in candidates if (m := budget.draws(c.cost(budget)))]
        return cls({c.name: root(c.products.quantity(squared_error(c.products, m))).value for c, m in affordable})


def judge(ranking: Ranking, truth: Truth) -> Row:
    """Counts of right and wrong answers of one ranking.

    pick: its true error over the least of all. Where no estimator is shown to be better than no gradient, the pick is
    no gradient, of error 1. false_winner: whether a sole pick is over 1.02 times the best. ties, false_ties: estimators
    named tied with the pick, and those of them over 1.1 times the best. best_tied: whether the truly best is in the
    first group. intervals, covered: of errors.
    """
    errors, first = truth.errors, ranking.tied
    least = min([1.0, *errors.values()])
    over = {name: _ratio(error, least) for name, error in errors.items()}
    pick = over[first[0]] if first else _ratio(1.0, least)
    lines = [x for x in ranking.lines if x.objective == EXPECTATION and x.m]
    return {
        "pick": pick,
        "none": not first,
        "sole": len(first) == 1,
        "false_winner": len(first) == 1 and pick > NEAR,
        "ties": len(first[1:]),
        "false_ties": sum(over[name] > CLEARLY for name in first[1:]),
        "best_tied": any(over[name] <= 1 for name in first) if first else least == 1,
        "intervals": len(lines),
        "covered": sum(x.error.lo <= errors[x.estimator] <= x.error.hi for x in lines),
    }


def _ratio(error: float, least: float) -> float:
    return error / least if least > 0 else (1.0 if error == 0 else np.inf)


def calibrate(seeds: Sequence[int], long_run: int = LONG_RUN, say: Callable[[str], None] = print) -> Iterator[Row]:
    """One row per condition of the random problem of each seed; `long_run`: draws behind each true error."""
    for seed in seeds:
        problem = Problem.random(seed)
        names, exact = CANDIDATES[problem.kind], problem.exact
        say(f"problem {seed}: {problem.latent}")
        long = [problem.candidate(name, _long_run(problem, name, exact, long_run)) for name in names]
        truth = Truth.of(long, problem.budget)
        most = max(n for n, _ in CONDITIONS)
        drawn = {name: problem.first(name, "draws", most) for name in names}
        for n, gradient in CONDITIONS:
            known = gradient == EXACT
            against = {"exact": exact} if known else {"reference": problem.first(REFERENCE, "reference", n)}
            candidates = [
                problem.candidate(name, Products.of_draws(draws[:n], **against), "draws")
                for name, draws in drawn.items()
            ]
            about = {"problem": seed, "kind": problem.kind, "sites": problem.latent.spec.event_shape[0]}
            about |= {"budget": str(problem.budget), "n": n, "gradient": gradient}
            yield about | judge(rank(candidates, problem.budget), truth)


def _long_run(problem: Problem, name: str, exact: np.ndarray, draws: int) -> Products:
    return Products.of_draws(problem.first(name, "truth", draws), exact)


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """[n, gradient, quantity] -> hits, runs of each rate of RATES."""
    found = []
    for (n, gradient), part in rows.groupby(["n", "gradient"], sort=False):
        counted = {
            "pick": (part["pick"] <= CLEARLY, len(part)),
            "false_winner": (part["false_winner"], part["sole"].sum()),
            "false_tie": (part["false_ties"], part["ties"].sum()),
            "best_tied": (part["best_tied"], len(part)),
            "covered": (part["covered"], part["intervals"].sum()),
        }
        for quantity, (hits, runs) in counted.items():
            found.append(
                {"n": n, "gradient": gradient, "quantity": quantity, "hits": int(hits.sum()), "runs": int(runs)}
            )
    return pd.DataFrame(found)


def table(rows: pd.DataFrame) -> str:
    """The rates in percent with their exact 95 % intervals, in Markdown, one line per condition."""
    lines = ["| draws | gradient | " + " | ".join(RATES.values()) + " |", "|--:|:--|" + "--:|" * len(RATES)]
    for (n, gradient), part in rates(rows).groupby(["n", "gradient"], sort=False):
        counts = part.set_index("quantity")
        cells = [_percent(*counts.loc[quantity, ["hits", "runs"]]) for quantity in RATES]
        lines.append(f"| {n:,} | {gradient} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(hits: int, runs: int) -> str:
    if not runs:
        return "–"
    lo, hi = share_interval(hits, runs)
    return f"{100 * hits / runs:.1f} [{100 * lo:.1f}, {100 * hi:.1f}] of {runs:,}"
