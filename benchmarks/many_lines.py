"""A results folder of many lines: `many_lines.py RUN OUT TASKS ESTIMATORS SEEDS`, the cells of a run under other names.

Each part of RUN is written TASKS x ESTIMATORS x SEEDS times: its task and its estimator get a hyper-parameter `copy`,
and its seed grows. Timings have no seed and are written once per name.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from dvae_bench.bench.rows import SCHEMA, Row
from dvae_bench.bench.sources import CLOCK
from dvae_bench.bench.store.store import Store


def copy(run: Path, out: Path, tasks: int, estimators: int, seeds: int) -> int:
    """Write the copies of the parts of `run` into the new folder `out`; returns how many parts it holds."""
    source, target = Store.open(run), Store(out)
    target.write_context({**source.context(), "schema": SCHEMA})
    for key in source.stored():
        (part,) = source.parts([key])
        rows, timed = part.table().to_pylist(), part.settings.get("source") == CLOCK.name
        for task, name, seed in itertools.product(range(tasks), range(estimators), range(1 if timed else seeds)):
            renamed = [_renamed(row, task, name, seed) for row in rows]
            target.write(f"{key[:40]}-{task}-{name}-{seed}", part.status, part.settings, renamed)
    return len(target.stored())


def _renamed(row: Row, task: int, name: int, seed: int) -> Row:
    return row | {
        "task": _with(row["task"], task),
        "estimator": _with(row["estimator"], name),
        "seed": row["seed"] + seed,
    }


def _with(name: str, number: int) -> str:
    """A stored name with one more hyper-parameter; the first copy keeps the name."""
    return f"{name}{',' if ':' in name else ':'}copy={number}" if number else name


if __name__ == "__main__":
    print(copy(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])), "parts")
