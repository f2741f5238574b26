"""The conformance suite of estimators: `dvae-bench check`, for built-in and third-party plugins alike."""

from .suite import Result, check

__all__ = ["Result", "check"]
