"""A progress bar on a terminal or in a notebook, and nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..escapes import terminal


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Callable[[float, str], None]]:
    """A function that shows the fraction done and what runs now. The bar vanishes at the end."""
    console = console or Console(stderr=True)
    shown = console.is_terminal or console.is_jupyter
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda done, now: bar.update(task, completed=done, description=terminal(now))
