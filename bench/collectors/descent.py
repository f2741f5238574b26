"""The losses of trainings of a toy."""

from __future__ import annotations

from collections.abc import Iterator

from ..rows import Row, row
from ..sources.descent.descent import Epoch
from ..statistics import intervals as st
from .collector import Collector


class Descent(Collector):
    """`loss_epoch`, the mean training loss of each epoch; `blocks` holds that of every training."""

    name = "descent"
    source = "descent"

    def rows(self, measured: list[Epoch]) -> Iterator[Row]:
        for epoch in measured:
            blocks = epoch.loss.tolist()
            yield row("loss_epoch", st.mean(epoch.loss), len(blocks), direction="lower", step=epoch.step, blocks=blocks)
