"""The facts of a class that have to be imported, by a process of their own: `ask`, and the script that it runs."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import sys
from typing import Any

SECONDS = 60.0
MARK = "facts of the class: "


def ask(module: str, attribute: str) -> dict[str, Any]:
    """The facts of a class, imported by another process. Raises ImportError with the last line of its error."""
    import subprocess  # here, so that `list` starts without it

    command = [sys.executable, "-P", "-m", __name__, module, attribute]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ImportError(f"it takes longer than {SECONDS:g} s") from None
    *_, last = ["", *ended.stdout.splitlines()]
    if not last.startswith(MARK):
        raise ImportError((ended.stderr.strip() or f"it exited with code {ended.returncode}").splitlines()[-1])
    return ast.literal_eval(last.removeprefix(MARK))


def literal_facts(cls: Any) -> dict[str, Any]:
    """The public attributes of a class that are literals."""
    found = {}
    for key in dir(cls):
        value = getattr(cls, key)
        try:
            if not key.startswith("_") and ast.literal_eval(repr(value)) == value:
                found[key] = value
        except (ValueError, SyntaxError):
            continue
    return found


if __name__ == "__main__":
    made = functools.reduce(getattr, sys.argv[2].split("."), importlib.import_module(sys.argv[1]))
    print(f"\n{MARK}{literal_facts(made)!r}", flush=True)
