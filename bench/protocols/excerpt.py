"""Part of a protocol: some of its methods in some of its settings. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from ...estimators.names import Name, UsageError, nearest
from ...estimators.registry import matches
from .protocol import Method, Protocol


def only(protocol: Protocol, methods: Iterable[str] = (), settings: Iterable[str] = ()) -> Protocol:
    """The protocol with only the methods and the settings that a pattern matches; all where there are no patterns.

    A method is matched by its label, its estimator or the family; a setting by its name. Raises UsageError when a
    pattern matches nothing, and when no method is left in any setting.
    """
    labels, columns = [method.method for method in protocol.methods], list(protocol.settings)
    chosen, kept = list[Method](), set[str]()
    for pattern in methods:
        exact = [method for method in protocol.methods if method.method == pattern]
        found = exact or [method for method in protocol.methods if _is(method, pattern)]
        if not found:
            raise UsageError(f"{protocol.name} has no method {pattern!r}{nearest(pattern, labels)}")
        chosen += found
    for pattern in settings:
        named = {pattern} & set(columns) or {column for column in columns if fnmatchcase(column, pattern)}
        if not named:
            raise UsageError(f"{protocol.name} has no setting {pattern!r}; its settings: {_listed(columns)}")
        kept |= named
    part = replace(
        protocol,
        methods=tuple(method for method in protocol.methods if method in chosen or not chosen),
        settings={column: values for column, values in protocol.settings.items() if column in kept or not kept},
    )
    if not list(part.lines()):
        of = _listed(method.method for method in part.methods)
        raise UsageError(f"{protocol.name} has no {of} in {_listed(part.settings)}; give other methods or settings")
    return part


def _is(method: Method, pattern: str) -> bool:
    return fnmatchcase(method.method, pattern) or any(matches(name, pattern) for name in Name.sweep(method.estimator))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
