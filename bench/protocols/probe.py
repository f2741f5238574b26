"""The pace of each line of a protocol here, and the seconds of its toys, from short measurements."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...tasks.vae.datasets import load_mnist
from ..run.cell import Cell
from ..run.executors import HERE
from ..run.runner import Progress
from ..sources.build import build_task
from ..sources.streams import stream
from ..store.store import Store
from .protocol import Method, Protocol
from .scale import Scale
from .selection import Line

PROBE_STEPS, PROBE_IMAGES = 60, 1000
PROBE_IW_IMAGES, PROBE_SAMPLES = 100, 50
SHARE_OF_TOY, LEAST_OF_TOY = 300, 10


@dataclass(frozen=True)
class Pace:
    """Seconds of one cell: to start, per training step, per image evaluated and per draw of the bound; and for log Z of
    the prior, at an evaluation and at the last one."""

    start: float
    step: float
    image: float
    draw: float = 0.0
    log_z: float = 0.0
    last_log_z: float = 0.0


def paces(protocol: Protocol, make: Callable[[Method, str, Scale], Cell]) -> dict[Line, Pace]:
    """The pace of each line, from a training of PROBE_STEPS steps in a temporary folder.

    The training is evaluated after each third. The first third is not timed, since everything is cold; the last
    evaluation has the bound as well. A line that fails is assumed to cost what its failure took.
    """
    scale = Scale(PROBE_STEPS, 1, trials=1)
    cells = {(method.method, setting): _probe(make(method, setting, scale)) for method, setting in protocol.lines()}
    spent: dict[Cell, float] = {}
    ticks: dict[Cell, list[float]] = {cell: [] for cell in cells.values()}
    watch = Progress(
        begin=lambda cell: running.append(cell),
        tick=lambda fraction: ticks[running[-1]].append(time.perf_counter()),
        end=lambda cell, status, reason, seconds: spent.update({cell: seconds}),
    )
    running: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        HERE.run(list(dict.fromkeys(cells.values())), store, watch)
        trained = {cell: store.rows([cell.part()]).query("metric == 'seconds'")["value"].to_list() for cell in spent}
    images = sum(min(PROBE_IMAGES, size) for size in split_sizes(protocol).values())
    of_task = {cell.task: cell for cell in cells.values() if ticks[cell]}
    log_z = {task: _log_z(cell) for task, cell in of_task.items()}
    return {
        line: _pace(spent[cell], ticks[cell], trained[cell], images, log_z.get(cell.task, (0.0, 0.0)))
        for line, cell in cells.items()
    }


def toy_seconds(cells: Sequence[Cell]) -> float:
    """About how many seconds cells of toys take, from measuring a small share of each and twice that share.

    Everything is cold in the first of three rounds, which is not counted.
    """
    lengths = [int(getattr(cell.settings, cell.source.size)) for cell in cells]
    few = [min(n, max(LEAST_OF_TOY, n // SHARE_OF_TOY)) for n in lengths]
    more = [min(n, 2 * m) for n, m in zip(lengths, few, strict=True)]
    _, once, twice = (_spent(list(map(_shortened, cells, sizes))) for sizes in (few, few, more))
    rounds = zip(lengths, few, more, once, twice, strict=True)
    return sum(a + max(0.0, b - a) / max(1, k - m) * (n - m) for n, m, k, a, b in rounds)


def _shortened(cell: Cell, size: int) -> Cell:
    one = {"evaluations": 1} if hasattr(cell.settings, "evaluations") else {}
    return replace(cell, settings=replace(cell.settings, **{cell.source.size: size}, **one))


def _spent(cells: Sequence[Cell]) -> list[float]:
    """The seconds of each cell, measured one after the other."""
    spent: dict[Cell, float] = {}
    watch = Progress(end=lambda cell, status, reason, seconds: spent.update({cell: seconds}))
    with tempfile.TemporaryDirectory() as folder:
        HERE.run(list(cells), Store(Path(folder)), watch)
    return [spent[cell] for cell in cells]


def _probe(cell: Cell) -> Cell:
    settings = replace(cell.settings, evaluations=3, images=PROBE_IMAGES, variance_draws=0, reference_draws=0)
    if settings.iw_images:
        settings = replace(settings, iw_images=PROBE_IW_IMAGES, iw_samples=PROBE_SAMPLES)
    return replace(cell, settings=settings)


def _log_z(cell: Cell) -> tuple[float, float]:
    """Seconds of the prior's log Z at an evaluation and at the last one, whatever their images: 0 unless annealed."""
    model = build_task(cell).model(cell.seed)

    def spent(final: bool) -> float:
        start = time.perf_counter()
        for found in model.measure_prior(final, stream(cell.seed, "evaluation", cell.device)).values():
            found.item()  # waits for the device
        return time.perf_counter() - start

    return spent(final=False), spent(final=True)


def _pace(spent: float, ticks: list[float], trained: list[float], images: int, log_z: tuple[float, float]) -> Pace:
    if len(ticks) < 3:
        return Pace(spent, 0.0, 0.0)
    middle, last = (ticks[k] - ticks[k - 1] - (trained[k] - trained[k - 1]) for k in (1, 2))
    evaluation = max(0.0, middle - log_z[0])
    bound = max(0.0, last - log_z[1] - evaluation)
    steps = (trained[2] - trained[0]) / (2 * PROBE_STEPS // 3)
    start = max(0.0, spent - trained[2] - 3 * evaluation - bound - 2 * log_z[0] - log_z[1])
    return Pace(start, steps, evaluation / images, bound / (PROBE_IW_IMAGES * PROBE_SAMPLES), *log_z)


def split_sizes(protocol: Protocol) -> dict[str, int]:
    """How many images each split has, of the data found here."""
    data = load_mnist(protocol.values.get("split", "60k/10k"))
    sizes = {"train": len(data.train), "test": len(data.test), "valid": len(data.valid)}
    return {split: size for split, size in sizes.items() if size}
