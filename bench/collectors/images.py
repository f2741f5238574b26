"""Images of a trained model: test images, their reconstructions, and samples."""

from __future__ import annotations

from collections.abc import Iterator

from ..rows import Row, row
from ..sources.training.point import Point
from .collector import Collector

WHITE = 255


class Images(Collector):
    """`images_original`, `images_reconstruction` and, where the task draws some, `images_sample` of the last point.

    The value is the number of images; `blocks` holds their grey levels 0 to 255, one image after the other.
    """

    name = "images"
    source = "steps"

    def rows(self, measured: list[Point]) -> Iterator[Row]:
        for kind, images in measured[-1].images.items() if measured else ():
            grey = (WHITE * images).round().ravel().tolist()
            yield row(f"images_{kind}", len(images), len(images), step=measured[-1].step, blocks=grey)
