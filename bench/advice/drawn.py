"""One estimator on the caller's problem: its gradient draws, its rows and its place among the candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..collectors.bias import Bias
from ..collectors.evaluations import Evaluations
from ..collectors.proportion import Proportion
from ..collectors.variance import Variance
from ..ranking.candidate import Candidate
from ..ranking.stored import objective
from ..rows import NOT_APPLICABLE, Row
from ..sources.build import Layers
from ..sources.draws.draws import Draws, draw_gradients
from ..sources.settings import DrawSettings
from ..statistics.products import Products
from .given import Given
from .reference import Reference, ReferencedDraws


@dataclass(frozen=True)
class Drawn:
    """The draws of one estimator and, where E f is not enumerable, the reference they are judged against."""

    name: str
    draws: Draws
    reference: Reference | None = None

    @classmethod
    def of(
        cls, name: str, layers: Layers, task: Given, settings: DrawSettings, seed: int, reference: Reference | None
    ) -> Drawn:
        """An estimator in train() is tuned first. Raises what `draw_gradients` raises."""
        tuned = settings if layers.top.training else replace(settings, tuning_steps=0)
        return cls(name, ReferencedDraws.of(draw_gradients(layers, task, tuned, seed), reference), reference)

    def rows(self) -> list[Row]:
        """Bias, variance and evaluations, without the identity of a cell."""
        return [
            row for collector in (Bias(), Proportion(), Variance(), Evaluations()) for row in collector.rows(self.draws)
        ]

    def candidate(self) -> Candidate | None:
        """Its place in a ranking; None where neither an exact gradient nor a reference is known, or it is zero."""
        moments, work = self.draws.moments["cut"], self.draws.work
        exact = self.draws.exact.get("cut")
        if exact is not None and exact.any():
            products = Products.of_moments(moments, exact)
        elif exact is None and isinstance(self.draws, ReferencedDraws):
            products = Products.of_two(moments, self.draws.reference.moments)
        else:
            return None
        return Candidate(
            self.name,
            products,
            work.evaluations,
            work.differentiations,
            objective=objective(self.name, self.draws.claim.target),
            noise="common",
            untrusted=self._doubt(),
        )

    def _doubt(self) -> str:
        """Why the variance cannot be trusted, or ""."""
        rows = (row for row in Variance().rows(self.draws) if (row["metric"], row["group"]) == ("var_total", "cut"))
        total = next(rows)
        return "" if total["status"] in ("ok", NOT_APPLICABLE) else str(total["reason"])
