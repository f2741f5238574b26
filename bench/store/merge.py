"""Merging results folders into one: the shards of a run, or runs on different machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...estimators.names import UsageError
from .store import Store

IDENTITY = ("estimator", "task", "source", "seed", "data", "device")


@dataclass
class Merged:
    """cells: how many the folder holds now. differing: the cells whose numbers differ between two folders, of which
    the first folder's are kept.
    """

    cells: int = 0
    differing: list[str] = field(default_factory=list)


def merge(out: Path, folders: Sequence[Path]) -> Merged:
    """Copy every cell into `out`: from the first folder where it is finished, or else from the first that holds it.

    `out` itself, if it holds results, comes before `folders`. The contexts of all folders are kept in its context under
    `merged`. Raises UsageError, before anything is written, on a folder that has no results, a newer schema or a
    damaged part, and on a cell that two folders measured with different settings or code.
    """
    target = Store(out)
    stores = [Store.open(folder) for folder in (*([out] if target.cells.is_dir() else []), *folders)]
    contexts = {json.dumps(each, sort_keys=True): each for store in stores for each in _contexts(store)}
    _check(stores)
    holders: dict[str, list[Store]] = {}
    for store in stores:
        for key in store.stored():
            holders.setdefault(key, []).append(store)
    merged = Merged(len(holders))
    for key, having in holders.items():
        finished = [store for store in having if store.finished(key)]
        content = (finished or having)[0].content(key)
        if any(store.content(key) != content for store in finished):
            merged.differing.append(_name(finished[0].parts([key])[0].settings))
        target.put(key, content)
    first, *_ = contexts.values() or [{}]
    target.write_context(first | {"merged": list(contexts.values())})
    return merged


def _contexts(store: Store) -> list[dict[str, Any]]:
    context = store.context()
    return context.pop("merged", [context] if context else [])


def _check(stores: Sequence[Store]) -> None:
    """Raises UsageError on a damaged part, and on a cell that two folders measured with different settings.

    A folder may hold a cell at several settings, old and new. Two folders agree when the keys of one include those of
    the other.
    """
    seen: dict[str, tuple[Store, dict[str, dict[str, Any]]]] = {}
    for store in stores:
        store.rows()
        here: dict[str, dict[str, dict[str, Any]]] = {}
        for key in store.stored():
            for part in store.parts([key]):
                if settings := dict(part.settings):
                    here.setdefault(json.dumps([settings.get(name) for name in IDENTITY]), {})[key] = settings
        for identity, mine in here.items():
            other, theirs = seen.setdefault(identity, (store, mine))
            if not (mine.keys() <= theirs.keys() or theirs.keys() <= mine.keys()):
                (_, a), (_, b) = next(iter(theirs.items())), next(iter(mine.items()))
                differing = " and ".join(name for name in sorted(a | b) if a.get(name) != b.get(name))
                raise UsageError(
                    f"{_name(a)}: {other.folder} and {store.folder} measured this cell with different {differing}; "
                    "merge only runs with the same settings and code"
                )


def _name(settings: Mapping[str, Any]) -> str:
    seed = f" seed {settings['seed']}" if settings.get("seed") else ""
    return f"{settings.get('estimator')} on {settings.get('task')}, {settings.get('source')}{seed}"
