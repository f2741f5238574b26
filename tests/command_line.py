"""A finished `dvae-bench` command, and the form in which every command refuses bad input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """A finished command."""

    code: int
    out: str
    err: str

    def refused(self, *words: str) -> bool:
        """Whether it exited with 2 and one line on stderr, `error: ...`, that holds these words.

        Lines that name the plugins of a file may come before.
        """
        lines = [line for line in self.err.splitlines() if not line.startswith("plugins of ")]
        one_sentence = len(lines) == 1 and lines[0].startswith("error: ") and self.err.endswith("\n")
        return self.code == 2 and one_sentence and all(word in lines[0] for word in words)


Command = Callable[..., Ended]
