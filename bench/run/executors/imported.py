"""Imported by the fork server: all that measuring a cell imports, so that no process does so again."""

from __future__ import annotations

import torch._dynamo  # noqa: F401  # which an optimiser imports at its first step

from ....estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from . import processes  # noqa: F401

for registry in (ESTIMATORS, TASKS, COLLECTORS):
    for plugin in registry.builtin.values():
        plugin.load()
