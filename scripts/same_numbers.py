"""Whether two checkouts give the same numbers, to the bit, on the CPU: what a refactoring must show.

    python scripts/same_numbers.py measure FOLDER     # in each checkout, about 12 minutes on two idle cores
    python scripts/same_numbers.py compare BEFORE AFTER

Measured are the draws of every estimator on all toys of the quick preset, which hold the regression gate's grid, and
STEPS seeded training steps of each on bits, classes, two layers, a Gaussian and codes. Compared are all rows but times.
"""

from __future__ import annotations

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
    for part, tasks, more in (("toys", TOYS, ()), ("models", MODELS, ("--steps", str(STEPS)))):
        chosen = [word for task in tasks for word in ("-t", task)]
        command = [sys.executable, "-m", "dvae_bench.cli", "run", "-e", "all", "--jobs", "2", *more, *chosen]
        subprocess.run([*command, "-o", str(folder / part)], check=True)


def numbers(folder: Path) -> pd.DataFrame:
    """Every row that is no time, one line each, by its key."""
    parts = sorted(folder.rglob("cells/*.parquet"))
    rows = pd.concat([part for path in parts if len(part := pd.read_parquet(path))], ignore_index=True)
    timed = rows["metric"].isin(TIMES) | rows["metric"].str.startswith("time")
    rows = rows[~timed].assign(blocks=rows["blocks"].map(lambda found: None if found is None else tuple(found)))
    return rows.set_index(KEY).sort_index()


def compare(before: Path, after: Path) -> int:
    """Prints what differs; returns how many lines do."""
    a, b = numbers(before), numbers(after)
    for rows, name in ((a, before), (b, after)):
        if rows.index.has_duplicates:
            print(rows[rows.index.duplicated(keep=False)].head().to_string())
            raise SystemExit(f"{name} has two rows of one key")
    gone, new, both = a.index.difference(b.index), b.index.difference(a.index), a.index.intersection(b.index)
    x, y = a.loc[both, NUMBERS], b.loc[both, NUMBERS]
    differing = ~((x == y) | (x.isna() & y.isna())).all(axis=1)
    for title, lines in (("only before", gone), ("only after", new), ("differs", both[differing])):
        for line in list(lines)[:20]:
            print(title, *line)
    reasons = int((a.loc[both, "reason"] != b.loc[both, "reason"]).sum())
    print(
        f"{len(both)} rows in both: {int(differing.sum())} differ, {len(gone)} only before, {len(new)} only after;",
        end=" ",
    )
    print(f"{reasons} reasons read otherwise")
    return int(differing.sum()) + len(gone) + len(new)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", folder]:
            measure(Path(folder))
        case ["compare", before, after]:
            sys.exit(compare(Path(before), Path(after)) > 0)
        case _:
            sys.exit(__doc__)
