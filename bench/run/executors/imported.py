"""Every module that measuring a cell needs, imported so that forked processes import nothing."""

from __future__ import annotations

import torch._dynamo  # noqa: F401  # an optimiser imports it at its first step

from ....estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from . import processes  # noqa: F401

for registry in (ESTIMATORS, TASKS, COLLECTORS):
    for plugin in registry.builtin.values():
        plugin.load()
