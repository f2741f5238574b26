"""Whether two versions of the code give the same numbers, to the bit, on the CPU: what a refactoring must show.

    python scripts/same_numbers.py measure FOLDER     # with each version, 10 to 15 minutes on two idle cores
    python scripts/same_numbers.py compare BEFORE AFTER

Measured are the draws of every estimator on all toys of the quick preset, the grid of the regression gate among them,
and STEPS seeded training steps of each on bits, classes, two layers, a Gaussian and codes. Compared are all rows but
times.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

STEPS = 50
TOYS = (
    "bit-table",
    "category-table",
    "two-layer",
    "moments",
    "tiny-vae",
    "vq-table",
    "vq-table:codebook=linear-codebook",
)
MODELS = (
    "mnist-vae",
    "mnist-vae:arch=categorical",
    "mnist-vae:arch=two-layer-linear",
    "mnist-vae:arch=gaussian",
    "mnist-vq",
)
KEY = ["estimator", "task", "data", "seed", "source", "device", "collector", "group", "step", "metric"]
NUMBERS = ["value", "n", "se", "lo", "hi", "blocks", "status", "tuned_steps", "unit", "direction"]
TIMES = ("seconds", "host_bound", "rounds", "repetitions", "calls")


def measure(folder: Path) -> None:
    """One thread for BLAS too: how many it takes moves the last digit of an exact gradient."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for part, tasks, more in (("toys", TOYS, ()), ("models", MODELS, ("--steps", str(STEPS)))):
        chosen = [word for task in tasks for word in ("-t", task)]
        command = [sys.executable, "-m", "dvae_bench.cli", "run", "-e", "all", "--jobs", "2", *more, *chosen]
        subprocess.run([*command, "-o", str(folder / part)], check=True, env=environment)


def numbers(folder: Path) -> pd.DataFrame:
    """Every row that is no time, one line each, by its key. Raises SystemExit where two rows have one key."""
    parts = (pd.read_parquet(path) for path in sorted(folder.rglob("cells/*.parquet")))
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    timed = rows["metric"].isin(TIMES) | rows["metric"].str.startswith("time")
    rows = rows[~timed].assign(blocks=rows["blocks"].map(lambda found: None if found is None else tuple(found)))
    rows = rows.set_index(KEY).sort_index()
    if rows.index.has_duplicates:
        raise SystemExit(f"{folder} has two rows of one key: {rows.index[rows.index.duplicated()][0]}")
    return rows


def compare(before: Path, after: Path) -> int:
    """Print what differs; returns how many rows do."""
    a, b = numbers(before), numbers(after)
    gone, new, both = a.index.difference(b.index), b.index.difference(a.index), a.index.intersection(b.index)
    x, y = a.loc[both, NUMBERS], b.loc[both, NUMBERS]
    differs = ~((x == y) | (x.isna() & y.isna()))
    lines = differs.any(axis=1)
    for title, keys in (("only before", gone), ("only after", new), ("differs", both[lines])):
        for key in list(keys)[:20]:
            columns = [name for name in NUMBERS if title == "differs" and differs.loc[key, name]]
            print(title, *key, *columns)
    by_metric = differs[lines].groupby("metric").size().to_dict()
    reasons = int((a.loc[both, "reason"] != b.loc[both, "reason"]).sum())
    print(f"{len(both)} rows in both, {int(lines.sum())} differ: {by_metric or 'none'}")
    print(f"{len(gone)} rows only before, {len(new)} only after; {reasons} reasons read otherwise")
    return int(lines.sum()) + len(gone) + len(new)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["compare", before, after]:
            sys.exit(compare(Path(before), Path(after)) > 0)
        case _:
            sys.exit(__doc__)
