"""The inner products of the mean gradient and the exact one, from which the ranking computes the error that is left."""

from __future__ import annotations

from collections.abc import Iterator

from ..rows import Row, row
from ..sources.draws.draws import Draws
from ..statistics.products import Products
from .collector import Collector

OF_EXPECTATION = ("discrete", "own-relaxed", "none")
"""The targets of estimators that are compared as estimators of ∇ E_q f, which most of them claim to be."""


class InnerProducts(Collector):
    """`along` <E g, ∇> and `mean_sq` |E g|², without the bias that noise gives to a square, for each group whose draws
    were seen one by one.

    `blocks` holds the pseudo-values of the blocks, whose mean is the value, for paired intervals. With `gradient_norm`
    and `var_total`, they give the error left after the best constant. `targets_expectation` is 1 for estimators of
    ∇ E_q f and 0 for those of another objective, with the claimed target as its reason.
    """

    name = "products"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        target = measured.claim.target
        yield row("targets_expectation", float(target in OF_EXPECTATION), 1, reason=target)
        for group, exact in measured.exact.items():
            moments = measured.moments[group]
            if group == "value" or moments.block_spread is None:
                continue
            products = Products.of_moments(moments, exact)
            for metric, product in (("along", products.along), ("mean_sq", products.mean)):
                quantity, blocks = products.quantity(product), products.per_block(product).tolist()
                yield row(metric, quantity, moments.n, group=group, blocks=blocks)
