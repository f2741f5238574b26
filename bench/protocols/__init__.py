"""Published protocols: what a paper trained, scaled down to a budget, and its numbers beside ours."""

from .library import FOLDER, from_table, load, names, plugins

__all__ = ["FOLDER", "from_table", "load", "names", "plugins"]
