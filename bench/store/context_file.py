"""Reading context.json: a JSON object whose known entries have the types that their readers expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .files import Damaged, read_file, read_object

MOST_BYTES = 2**24
_TYPES: dict[tuple[str, ...], tuple[type, ...]] = {
    ("schema",): (int,),
    ("dvae_bench",): (str,),
    ("started",): (str,),
    ("git",): (dict, type(None)),
    ("git", "commit"): (str,),
    ("versions",): (dict,),
    ("merged",): (list,),
    ("reproduction",): (dict,),
}
"""Entry -> its types, wherever an entry is read for more than to be shown."""


def read_context(path: Path) -> dict[str, Any]:
    """The context in a file. Raises Damaged, and OSError."""
    context = read_object(read_file(path, MOST_BYTES))
    merged = context.get("merged", [])
    for each in (context, *(merged if isinstance(merged, list) else ())):
        _check(each)
    return context


def _check(context: Any) -> None:
    if not isinstance(context, dict):
        raise Damaged(f"a merged context is {context!r:.40}")
    for names, types in _TYPES.items():
        value: Any = context
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and type(value) not in types:
            raise Damaged(f"{'.'.join(names)} is {value!r:.40}")
