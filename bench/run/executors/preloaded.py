"""Imported by the fork server alone: it ends with the run, and forks processes that import nothing."""

from __future__ import annotations

from . import imported  # noqa: F401
from .orphans import killed_with_parent

killed_with_parent()
