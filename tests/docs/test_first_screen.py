"""The landing page's picture of a run's page is small and has the size of the screen."""

from documents import DOCS
from first_screen import SCREEN
from PIL import Image


def test_it_is_small_and_has_the_size_of_the_screen() -> None:
    stored = DOCS / "first-screen.webp"
    with Image.open(stored) as picture:
        assert picture.size == (SCREEN["width"], SCREEN["height"])
    assert stored.stat().st_size < 200_000
