"""Chrome traces of training steps with phases as labels; apart from timing, which a profiler would disturb."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from torch.profiler import profile, record_function, supported_activities

from ..sources import CLOCK, STEPS
from ..sources.build import build_task
from ..sources.timing.clock import CpuClock, Timeline
from ..sources.timing.timing import timed
from ..store.files import Unwritable, replace_file
from .cell import Cell
from .executors.limits import Limits
from .executors.process import Lost, Process, Send
from .plan import sources_of

WARM = 3


class Labels(Timeline):
    """A timeline whose phases are labels in the profiler's trace instead of timed spans."""

    def __init__(self) -> None:
        super().__init__(CpuClock())
        self.open: record_function | None = None

    def mark(self, phase: str) -> None:
        if self.open is not None:
            self.open.__exit__(None, None, None)
        self.open = None if phase == "end" else record_function(phase)
        if self.open is not None:
            self.open.__enter__()


def write_traces(cells: Iterable[Cell], folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Write `ESTIMATOR-TASK.json` for each timing cell of a training step, to open in chrome://tracing or Perfetto.

    Returns the files. A step that cannot be built or run has no trace; `say` receives one line with the reason. Raises
    Unwritable.
    """
    paths = []
    for cell in cells:
        if cell.source is not CLOCK or STEPS not in sources_of(cell.task):
            continue
        try:
            paths.append(_apart(cell, folder) if cell.origins else _write(cell, folder))
        except Unwritable:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            say(f"no trace of {cell.estimator} on {cell.task}: {reason}")
    return paths


def _apart(cell: Cell, folder: Path) -> Path:
    """`_write` in a process of its own. Raises RuntimeError when the process fails."""
    process = Process(cell.place.threads, Limits())
    with closing(process):
        *_, end = process.stream(partial(_written, cell, folder))
    if isinstance(end, Lost):
        raise RuntimeError(end.reason)
    return end.value


def _written(cell: Cell, folder: Path, send: Send) -> Path:
    return _write(cell, folder)


def _write(cell: Cell, folder: Path) -> Path:
    trace = _trace(cell)
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() or c in "=.-" else "-" for c in f"{cell.estimator}-{cell.task}")
    path = folder / f"{name}.json"
    with tempfile.TemporaryDirectory() as temporary:
        exported = Path(temporary) / "trace.json"
        trace.export_chrome_trace(str(exported))
        replace_file(path, exported.read_bytes(), folder.parent)
    return path


def _trace(cell: Cell) -> profile:
    call = timed(cell, build_task(cell)).call
    for _ in range(WARM):
        call(Timeline(CpuClock()))
    # One cycle only, whose events accumulate to themselves: torch 2.10 and 2.11 warn where they do not accumulate.
    with profile(activities=supported_activities(), acc_events=True) as trace:
        call(Labels())
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
    return trace
