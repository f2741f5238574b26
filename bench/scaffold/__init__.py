"""`new_estimator` writes a new plugin as an installable package."""

from .scaffold import new_estimator

__all__ = ["new_estimator"]
