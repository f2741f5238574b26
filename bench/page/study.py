"""A results folder as the page sees it: its label, rows, context and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..report.rows import prepare
from ..store.store import Store


@dataclass(frozen=True)
class Study:
    """settings: source -> each set of settings that its cells were measured with. damaged: parts that are left out."""

    label: str
    rows: pd.DataFrame
    context: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    damaged: Sequence[str] = ()

    @classmethod
    def of(cls, store: Store, label: str, keys: Sequence[str] | None = None) -> Study:
        """The named cells (all) of a store, without those whose parts are damaged."""
        keys = store.stored() if keys is None else keys
        damaged = store.damaged(keys)
        sound = [key for key in keys if key not in damaged]
        return cls(label, prepare(store.rows(sound)), store.context(), _settings(store, sound), damaged)


def labels(folders: Sequence[Path]) -> list[str]:
    """What tells folders apart: their names, or their paths where two have the same name."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _settings(store: Store, keys: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for part in store.parts(keys):
        source, settings = str(part.settings.get("source")), part.settings.get("settings")
        if isinstance(settings, dict) and settings not in found.setdefault(source, []):
            found[source].append(settings)
    return dict(sorted(found.items()))
