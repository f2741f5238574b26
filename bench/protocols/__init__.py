"""Published protocols: what a paper trained, how far it is scaled down, and its numbers beside ours."""

from .library import FOLDER, from_table, load, names, plugins

__all__ = ["FOLDER", "from_table", "load", "names", "plugins"]
