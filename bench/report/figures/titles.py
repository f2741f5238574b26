"""Titles of panels: what differs between them and nothing else, in as many lines as the width needs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from dvae_bench.estimators.names import Name

from ...escapes import figure

_MOST_LINES = 3


def titles(settings: Iterable[Any]) -> dict[Any, str]:
    """[task, data, device] -> the name of the task, with the parameters, data and device that differ between them.

    Where several tasks share a name, a task without a parameter of the others has its default, and so no mention.
    """
    keys = [tuple(map(str, setting)) for setting in settings]
    names = {task: Name.stored(task) for task, *_ in keys}
    texts = {}
    for task, data, device in keys:
        rivals = [names[other] for other, *_ in keys if names[other].family == names[task].family]
        params = [f"{key}={value}" for key, value in names[task].params if _differs(key, rivals)]
        others = [key for key in keys if key[0] == task]
        where = [text for i, text in ((1, data), (2, device)) if text and len({other[i] for other in others}) > 1]
        texts[task, data, device] = figure(", ".join([names[task].family, *params, *where]))
    return texts


def _differs(key: str, names: Iterable[Name]) -> bool:
    return len({str(name.values.get(key)) for name in names}) > 1


def wrapped(text: str, letters: int) -> str:
    """The text in at most three lines of so many letters, with an ellipsis where it is longer."""
    return "\n".join(textwrap.wrap(text, max(letters, 8), max_lines=_MOST_LINES, placeholder=" …"))
