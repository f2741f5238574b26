"""What a trained model shows: images, their reconstructions, and samples."""

from __future__ import annotations

from collections.abc import Iterator

from ..rows import Row, row
from ..training import Point
from .collector import Collector

WHITE = 255


class Images(Collector):
    """A row `images` for each group (original, reconstruction, sample) of the last point: how many there are, and in
    `blocks` their grey levels 0 to 255, one image after the other."""

    name = "images"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for group, images in measured[-1].images.items() if measured else ():
            grey = (WHITE * images).round().ravel().tolist()
            yield row("images", len(images), len(images), group=group, step=measured[-1].step, blocks=grey)
