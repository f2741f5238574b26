"""One self-contained HTML page for one or several runs: a pure function of their results folders."""

from .page import write_page

__all__ = ["write_page"]
