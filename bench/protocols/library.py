"""The built-in protocols: one TOML file each in tasks/protocols/, read strictly. No torch."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from ...estimators.names import UsageError, nearest
from ...estimators.registry import Plugin
from .consistency import check
from .protocol import Method, Protocol, Table

FOLDER = Path(__file__).resolve().parent.parent.parent / "tasks" / "protocols"

T = TypeVar("T")

_STEM = re.compile(r"\w[\w.-]*")

_KINDS: dict[str, tuple[type, type | None]] = {
    "str": (str, None),
    "int": (int, None),
    "tuple[str, ...]": (list, str),
    "tuple[int, ...]": (list, int),
    "Table": (dict, None),
}
_CHOICES = {
    "numbers": ("verified", "recalled", "none"),
    "report": ("last", "best"),
    "select": ("best train", "best valid"),
}


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def plugins() -> list[Plugin]:
    """The protocols in the form that `list` and `show` take: the subject of each, and its file."""
    paths = [FOLDER / f"{name}.toml" for name in names()]
    return [
        Plugin(path.stem, "protocols", "", "", path, {"about": load(path.stem).about, "doc": path.read_text("utf-8")})
        for path in paths
    ]


def load(name: str) -> Protocol:
    """The protocol of this name, or of the TOML file at this path.

    Raises UsageError on an unknown name, and on an unknown, missing or ill-typed key, naming it and its file.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not (path.is_file() if name.endswith(".toml") else name in names()):
        raise UsageError(f"no protocol is called {name!r}{nearest(name, names())}")
    if not _STEM.fullmatch(path.stem):
        raise UsageError(
            f"{path.name!r} cannot name a results folder; rename it, with letters, digits, '.', '_' and '-' only"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not TOML ({error}); fix it") from error
    return from_table(table, path.stem)


def from_table(table: Table, name: str) -> Protocol:
    """The protocol that a parsed TOML file describes. Raises UsageError naming an unknown, missing or ill-typed key."""
    where = f"{name}.toml"
    entries = table.get("methods", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{where}: methods must be tables, each below a line [[methods]]")
    methods = tuple(_read(Method, entry, f"{where}: a method") for entry in entries)
    protocol = _read(Protocol, {**table, "name": name}, where, methods=methods)
    check(protocol)
    return protocol


def _read(cls: type[T], table: Table, where: str, **ready: Any) -> T:
    """A dataclass from a table whose keys are its fields; `ready` values replace those of the table."""
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise UsageError(f"{where} has an unknown key {key!r}{nearest(key, known)}")
    for key, each in known.items():
        optional = each.default is not MISSING or each.default_factory is not MISSING
        if key not in table and not optional:
            raise UsageError(f"{where} has no key {key!r}; add it")
        value = ready.get(key, table.get(key))
        if key in table and key not in ready:
            kind, inner = _KINDS[str(each.type)]
            elements = value if inner is not None and isinstance(value, list) else []
            if type(value) is not kind or not all(type(element) is inner for element in elements):
                raise UsageError(f"{where}: {key} must be {_in_words(str(each.type))}, got {value!r}")
            if value not in _CHOICES.get(key, (value,)):
                raise UsageError(f"{where}: {key} must be one of {', '.join(_CHOICES[key])}, got {value!r}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return cls(**given | ready)


def _in_words(kind: str) -> str:
    words = {"str": "text", "int": "a whole number", "Table": "a table", "tuple[str, ...]": "a list of texts"}
    return words.get(kind, "a list of whole numbers")
