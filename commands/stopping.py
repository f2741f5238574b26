"""Ctrl-C and SIGTERM: the first ends a command in good order, with 130; the second ends the process at once."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .exits import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _LinuxAction(ctypes.Structure):
    """struct sigaction of Linux on x86, ARM, POWER and RISC-V, in glibc and in musl."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _DarwinAction(ctypes.Structure):
    """struct sigaction of macOS."""

    _fields_ = (("handler", ctypes.c_void_p), ("mask", ctypes.c_uint32), ("flags", ctypes.c_int))


_ACTIONS: dict[str, tuple[type[Any], int]] = {
    "linux": (_LinuxAction, ctypes.c_int(0x80000000).value),
    "darwin": (_DarwinAction, 0x0004),
}
"""struct sigaction, and SA_RESETHAND, by sys.platform."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside it the first signal raises KeyboardInterrupt; the second ends the process, even if that was swallowed.

    On Linux and macOS the system itself ends the process, as by the signal's default action. Elsewhere a handler in
    Python does, with 130, which native code can delay.
    """
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if received:
            os._exit(INTERRUPTED)
        received.append(number)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in SIGNALS}
    for each in SIGNALS:
        _handle_once(each)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _handle_once(number: signal.Signals) -> None:
    """Let the system reset the signal to its default action when it is first delivered.

    Python runs a handler only between two bytecodes, thus never while native code holds the interpreter lock.
    """
    if sys.platform in _ACTIONS:
        kind, reset = _ACTIONS[sys.platform]
        action, library = kind(), ctypes.CDLL(None)
        library.sigaction(number, None, ctypes.byref(action))
        action.flags |= reset
        library.sigaction(number, ctypes.byref(action), None)
