"""Measure the grid of the regression gate: gradient draws of every estimator on three toys, without timings."""

from __future__ import annotations

import sys
from pathlib import Path

from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import DRAWS
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

GRID = ("bit-table", "category-table", "two-layer")


def main() -> None:
    folder = Path(sys.argv[1])
    for part in (folder / "cells").glob("*.parquet"):
        part.unlink()
    session = Session.prepare(
        ESTIMATORS.select(["all"]), TASKS.select(GRID), PRESETS["quick"], 1, "cpu", 1, folder, [DRAWS]
    )
    print(session.run(Progress(end=lambda cell, status, reason, seconds: print(status, cell, flush=True)), fresh=True))


if __name__ == "__main__":
    main()
