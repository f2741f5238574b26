"""One self-contained HTML page of one run or several: a pure function of what their folders hold."""

from .page import write_page

__all__ = ["write_page"]
