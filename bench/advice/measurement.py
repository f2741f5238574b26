"""What `measure` returns: the ranking and the numbers of every estimator, as text, as a frame and as a plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..escapes import terminal
from ..ranking.ranking import Ranking
from ..report.numbers import plain, with_interval
from .html import html_table

RANKED = ("group", "tied", "error", "error_lo", "error_hi", "scale_bias", "m", "cost", "more_draws")
FRONT = ("estimator", *RANKED[:5])


def ranked(numbers: pd.DataFrame, ranking: Ranking) -> pd.DataFrame:
    """The numbers [estimator], best first, with the columns of the ranking; those that are not ranked come last."""
    table = ranking.table().rename(columns={"lo": "error_lo", "hi": "error_hi", "reason": "why"})
    found = numbers.merge(table[["estimator", *RANKED, "why"]], on="estimator", how="left")
    found["reason"] = found["reason"].where(found["reason"] != "", found["why"].fillna(""))
    found["tied"] = found["tied"].eq(True)  # NaN is not tied
    order = {name: place for place, name in enumerate(table["estimator"])}
    place = found["estimator"].map(order).fillna(len(order))
    found = found.assign(place=place).sort_values("place", kind="stable", ignore_index=True)
    return found[[*FRONT, *(x for x in found.columns if x not in (*FRONT, "why", "place"))]]


@dataclass(frozen=True, repr=False)
class Measurement:
    """The estimators in the order of the ranking. left_out: how many of a word or glob did not apply.

    reference: the estimator whose long mean stands for the exact gradient; "" where it is known.
    """

    ranking: Ranking
    numbers: pd.DataFrame
    left_out: int = 0
    reference: str = ""

    def best(self) -> str | None:
        """The estimator of least error; None where none is shown to be better than no gradient."""
        return self.ranking.best

    def frame(self) -> pd.DataFrame:
        """All numbers, one line per estimator, best first; docs/metrics.md explains the columns."""
        return self.numbers.copy()

    def plot(self, ax: Any = None) -> Any:
        """The error left after the best constant with its interval, best at the top, into `ax` or into new axes."""
        import matplotlib.pyplot as plt

        ax = plt.figure().add_subplot() if ax is None else ax
        shown = self.numbers[self.numbers["error"].notna()]
        value, places = shown["error"], list(range(len(shown)))
        errors = [(value - shown["error_lo"]).clip(lower=0), (shown["error_hi"] - value).clip(lower=0)]
        ax.errorbar(value, places, xerr=errors, fmt="o", capsize=2)
        ax.set_yticks(places, list(shown["estimator"]))
        ax.invert_yaxis()
        ax.set_xlabel(f"error of the gradient at {self.ranking.budget}")
        return ax

    def summary(self) -> str:
        """The answer, and what the numbers rest on."""
        against = f"Bias and error against a long mean of {self.reference}, its own error included. "
        apply = "does not apply" if self.left_out == 1 else "do not apply"
        rest = f"{self.left_out} of the estimators asked for {apply} to this latent or f." if self.left_out else ""
        return f"{self.ranking.sentence()} {against if self.reference else ''}{rest}".strip()

    def text(self) -> pd.DataFrame:
        """The columns of the page's table, as text."""
        lines = self.numbers.to_dict("records")
        return pd.DataFrame(
            {
                "estimator": self.numbers["estimator"],
                "error": [with_interval(x["error"], x["error_lo"], x["error_hi"]) for x in lines],
                "tied": ["tied" if x["tied"] else "" for x in lines],
                "verdict": self.numbers["verdict"],
                "relative bias": [_bias(x) for x in lines],
                "variance": [with_interval(x["variance"], x["variance_lo"], x["variance_hi"]) for x in lines],
                "evaluations": self.numbers["evaluations"].map(plain),
                "differentiations": self.numbers["differentiations"].map(plain),
                "reason": self.numbers["reason"],
            },
            dtype=object,
        )

    def __repr__(self) -> str:
        return terminal(f"{self.summary()}\n\n{self.text().drop(columns='reason').to_string(index=False)}")

    def _repr_html_(self) -> str:
        return html_table(self.text(), self.summary())


def _bias(line: dict[Any, Any]) -> str:
    if line["verdict"] == "unbiased" and not math.isnan(line["sdb"]):
        return f"sdb {plain(line['sdb'])}"
    return with_interval(line["bias_rel"], line["bias_rel_lo"], line["bias_rel_hi"])
