"""Give stored cells the keys of the installed code, measured anew or not: `python scripts/rekey.py FOLDER...`.

A cell's key hashes the code that measured it, messages included, so that a change of words makes it stale. Only after
`scripts/same_numbers.py compare` has shown that the code before and after gives the same numbers may results keep
standing, or where CHANGELOG names the draws that changed, so that a new measurement differs by its Monte Carlo error:
this script then writes each part again, its rows untouched, with today's recipe and under today's key.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dvae_bench.bench.run.cell import Cell, Place
from dvae_bench.bench.sources import SOURCES
from dvae_bench.bench.store.cell_file import pack
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

CODE = ("code", "source_code")


def today(recipe: dict[str, Any]) -> Cell:
    """The cell that would measure the same today. Raises UsageError on names and values that are none today."""
    (estimator,), (task,) = ESTIMATORS.select([recipe["estimator"]]), TASKS.select([recipe["task"]])
    source = SOURCES[recipe["source"]]
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in recipe["settings"].items()}
    place = Place(
        device=recipe["device"],
        device_name=recipe.get("device_name", ""),
        threads=recipe["threads"],
        data=recipe["data"],
    )
    settings = type(source.presets["quick"])(**given)
    return Cell(estimator=estimator, task=task, source=source, seed=recipe["seed"], place=place, settings=settings)


def rekey(folder: Path) -> None:
    store, written, changed = Store.open(folder), 0, dict[str, int]()
    for key in store.stored():
        (part,) = store.parts([key])
        cell = today(dict(part.settings))
        recipe = json.loads(json.dumps(cell.recipe()))  # as it is stored: lists, not tuples
        for name in recipe.keys() | part.settings.keys():
            if name not in CODE and recipe.get(name) != part.settings.get(name):
                changed[name] = changed.get(name, 0) + 1
        if (new := cell.key()) != key:
            rows: Any = store.rows([key]).to_dict("records")
            if not store.part(new).exists():  # else the cell was measured anew, and the old part is out of date
                store.put(new, pack(new, part.status, recipe, rows))
                written += 1
            store.part(key).unlink()
    besides = ", ".join(f"{name} of {count}" for name, count in changed.items()) or "nothing"
    print(f"{folder}: {written} of {len(store.stored())} parts have a new key; besides the code, {besides} differs")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        rekey(Path(name))
