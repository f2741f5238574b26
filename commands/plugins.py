"""The kinds of plugins, and the loading of files given with --plugin."""

from __future__ import annotations

from pathlib import Path

import typer

from ..estimators.names import UsageError
from ..estimators.registry import COLLECTORS, ESTIMATORS, TASKS, Plugin

KINDS = {"estimators": ESTIMATORS, "tasks": TASKS, "collectors": COLLECTORS}


def add_plugins(path: Path) -> list[Plugin]:
    """Register the plugins of a file and name them, since its code will run. Raises UsageError if it has none."""
    found = [plugin for registry in KINDS.values() for plugin in registry.add_file(path)]
    if not found:
        raise UsageError(
            f"{path} holds no plugin; define a class with a literal `name`, derived from Estimator, Task or Collector"
        )
    typer.echo(f"plugins of {path.resolve()}: {', '.join(plugin.name for plugin in found)}", err=True)
    return found
