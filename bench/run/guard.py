"""Changes that a plugin makes to its process are undone after each cell, and reported."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import parent_process
from types import TracebackType
from typing import Any, TextIO

import torch

from .process_state import shared_state

SHOWN = 4_000


class CalledExit(Exception):
    """A plugin called sys.exit; its cell fails, and the run continues."""


class Raised(Exception):
    """A plugin raised what is no Exception, such as a panic of Rust code; its cell fails, and the run continues."""


class Guard:
    """A context manager around the code of a plugin in one cell, entered any number of times at about 0.2 ms each.

    Inside it, only the first SHOWN characters that the plugin prints reach the screen. Exceptions pass through, except
    that SystemExit becomes CalledExit and any other that is no Exception becomes Raised: KeyboardInterrupt, too, in a
    process that leaves interrupts to its parent. Afterwards all of `shared_state` is restored, and `summary` names the
    changes.
    """

    def __init__(self, device: torch.device) -> None:
        self.settings = shared_state(device.type)
        self.changed: dict[str, None] = {}
        self.printed = 0

    def __enter__(self) -> None:
        self.before = [setting.read() for setting in self.settings]
        self.out, self.err = (_Excerpt(stream, self.printed) for stream in (sys.stdout, sys.stderr))
        self.redirections = redirect_stdout(self.out), redirect_stderr(self.err)
        for each in self.redirections:
            each.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in reversed(self.redirections):
            each.__exit__(kind, error, trace)
        self.printed += self.out.written + self.err.written
        for setting, before in zip(self.settings, self.before, strict=True):
            if setting.read() != before:
                setting.write(before)
                self.changed[setting.name] = None
        if isinstance(error, SystemExit):
            raise CalledExit(f"it called sys.exit({error.code!r})") from error
        interrupted = isinstance(error, KeyboardInterrupt) and parent_process() is None
        if error is not None and not isinstance(error, Exception) and not interrupted:
            raise Raised(f"it raised {type(error).__name__}: {error}") from error

    @property
    def summary(self) -> str:
        """One line on the settings that were restored and the output that was cut; "" when there was neither."""
        effects = []
        if self.changed:
            effects.append(f"changed and put back: {', '.join(self.changed)}")
        if self.printed > SHOWN:
            effects.append(f"printed {self.printed} characters, of which about {SHOWN} were shown")
        return "; ".join(effects)


class _Excerpt(io.TextIOBase):
    """Passes on what is written until SHOWN characters are reached, `earlier` ones included."""

    def __init__(self, to: TextIO, earlier: int) -> None:
        self.to, self.room, self.written = to, max(0, SHOWN - earlier), 0

    def write(self, text: str) -> int:
        if self.written < self.room:
            self.to.write(text[: self.room - self.written])
        self.written += len(text)
        return len(text)

    def flush(self) -> None:
        self.to.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)
