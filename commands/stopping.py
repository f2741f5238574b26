"""Ctrl-C and SIGTERM: the first ends a command in good order, the second at once; both exit with 130."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .exits import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside it the first signal raises KeyboardInterrupt; the second ends the process, even if that was swallowed."""
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if received:
            os._exit(INTERRUPTED)
        received.append(number)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
