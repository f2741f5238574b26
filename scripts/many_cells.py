"""The overhead of the harness on ten thousand tiny cells: `python scripts/many_cells.py FOLDER [CELLS]`.

Prints CPU seconds and memory during the run, and the time of resuming and of the report.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dvae_bench.bench.page import write_page
from dvae_bench.bench.report import Study, write_report
from dvae_bench.bench.rows import SCHEMA
from dvae_bench.bench.run import executors
from dvae_bench.bench.run.cell import Cell, Place
from dvae_bench.bench.run.executors import imported  # noqa: F401  # so that no cell is charged for an import
from dvae_bench.bench.run.plan import plan
from dvae_bench.bench.run.presets import Preset
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.sources import DRAWS
from dvae_bench.bench.sources.draws.source import GradientDraws
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

TINY = Preset("tiny", {DRAWS: DrawSettings(blocks=8, rows=8, tuning_steps=2)})


def tiny_cells(count: int) -> list[Cell]:
    """Gradient draws of 20 estimators on 10 tasks, at enough seeds for `count` cells."""
    estimators = ESTIMATORS.select(["rloo:n={2,3,4,5,6,7,8,9,10,11}", "reinforce:n={1,2,3,4,5,6,7,8,9,10}"])
    tasks = TASKS.select(["bit:d={1,2,3,4,5}", "bit-table:d={1,2,3,4,5}"])
    cells = plan(estimators, tasks, TINY, Place(), -(-count // 200), [DRAWS])
    return cells[:count]


def spent(work: Callable[[], object]) -> float:
    """CPU seconds that work takes in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def say(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.2f} s, {resident():.0f} MB", flush=True)


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    steady_host(1)
    cells, store = tiny_cells(count), Store(folder)
    store.write_context({"schema": SCHEMA})
    measuring, ended = 0.0, 0
    measure = GradientDraws.measure

    def measured(*arguments: Any) -> Any:
        nonlocal measuring
        start = time.process_time()
        try:
            return measure(*arguments)
        finally:
            measuring += time.process_time() - start

    def end(cell: Cell, status: str, reason: str, seconds: float) -> None:
        nonlocal ended
        ended += 1
        if ended in (100, *range(1000, count + 1, 1000)):
            print(f"{ended} cells: {resident():.0f} MB", flush=True)

    executors.HERE.run(cells[:1], Store(folder / "warm"), Progress())
    GradientDraws.measure = measured  # type: ignore[assignment, method-assign]
    seconds = spent(lambda: executors.HERE.run(cells, store, Progress(end=end)))
    each, beside = 1e3 * seconds / count, 1e3 * (seconds - measuring) / count
    print(f"run: {seconds:.1f} s, {each:.1f} ms per cell, {beside:.1f} of them overhead", flush=True)
    fresh = Store(folder)
    say("resume", spent(lambda: executors.HERE.run(cells, fresh, Progress())))
    studies: list[Study] = []
    parts = [cell.part() for cell in cells]
    say("reading", spent(lambda: studies.append(Study.of(fresh, "tiny", parts))))
    say("tables and figures", spent(lambda: write_report(studies[0], folder)))
    say("page", spent(lambda: write_page(studies, folder / "index.html")))


if __name__ == "__main__":
    main()
