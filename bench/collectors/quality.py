"""How good one gradient draw is against the exact gradient: error, signal to noise, direction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..rows import Row, row
from ..sources.draws.draws import Draws
from ..statistics import intervals as st
from .collector import Collector


class Quality(Collector):
    """MSE; SNR |E g_d| / sd(g_d) over coordinates (mean, 5th, 50th and 95th percentile, share of coordinates kept);
    directional SNR E |g_∥| / |g_⊥| along the exact gradient (Rainforth et al. 2018); cosine of a draw and of the mean.
    """

    name = "quality"
    source = "draws"

    def rows(self, measured: Draws) -> Iterator[Row]:
        for group, exact in measured.exact.items():
            moments = measured.moments[group]
            n = moments.n
            if group == "value" or moments.block_spread is None:
                continue
            yield row("mse", st.mean_squared_error(moments, exact), n, direction="lower", group=group)
            ratios, kept = st.signal_to_noise(moments)
            if len(ratios):
                yield row("snr_mean", float(ratios.mean()), n, direction="higher", group=group)
                for percent in (5, 50, 95):
                    level = float(np.percentile(ratios, percent))
                    yield row(f"snr_p{percent}", level, n, direction="higher", group=group)
                yield row("snr_kept", kept, n, group=group)
            for metric, (mean, se) in (("dsnr", moments.directional_snr), ("cosine", moments.cosine)):
                quantity = st.Quantity(mean, se, mean - st.Z * se, mean + st.Z * se)
                yield row(metric, quantity, n, direction="higher", group=group)
            yield row("cosine_of_mean", st.cosine_of_mean(moments, exact), n, direction="higher", group=group)
