"""The time of training and evaluation that a protocol takes here, from a probe; the scale that fits a budget."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...estimators.names import UsageError
from ...tasks.vae.datasets import load_mnist
from ..run.cell import Cell
from ..run.executors import HERE
from ..run.runner import Progress
from ..run.screen import minutes
from ..sources.settings import TrainSettings
from ..store.store import Store
from .protocol import Method, Protocol
from .scale import Scale, settings_at, trial_settings_at, trials
from .selection import Line

PROBE_STEPS, PROBE_IMAGES = 60, 1000
PROBE_IW_IMAGES, PROBE_SAMPLES = 100, 50
SHARE_OF_TOY, LEAST_OF_TOY = 300, 10
ENOUGH_STEPS = 10
RESERVED = 0.15  # of a budget, for tables, figures and what a probe does not measure


@dataclass(frozen=True)
class Pace:
    """Seconds of one cell: to start, per training step, per image evaluated and per draw of the bound."""

    start: float
    step: float
    image: float
    draw: float = 0.0


@dataclass(frozen=True)
class Cost:
    """How many cells, and their seconds of training and of evaluation."""

    cells: int = 0
    training: float = 0.0
    evaluation: float = 0.0

    @property
    def seconds(self) -> float:
        return self.training + self.evaluation

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cells + other.cells, self.training + other.training, self.evaluation + other.evaluation)

    def __str__(self) -> str:
        parts = f"training {minutes(self.training)}, evaluation {minutes(self.evaluation)}"
        return f"about {minutes(self.seconds)} ({parts})"


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
    return {line: _pace(spent[cell], ticks[cell], trained[cell], images) for line, cell in cells.items()}


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


def _pace(spent: float, ticks: list[float], trained: list[float], images: int) -> Pace:
    if len(ticks) < 3:
        return Pace(spent, 0.0, 0.0)
    middle, last = (ticks[k] - ticks[k - 1] - (trained[k] - trained[k - 1]) for k in (1, 2))
    evaluation, bound = max(0.0, middle), max(0.0, last - middle)
    steps = (trained[2] - trained[0]) / (2 * PROBE_STEPS // 3)
    start = max(0.0, spent - trained[2] - 3 * evaluation - bound)
    return Pace(start, steps, evaluation / images, bound / (PROBE_IW_IMAGES * PROBE_SAMPLES))


def split_sizes(protocol: Protocol) -> dict[str, int]:
    """How many images each split has, of the data found here."""
    data = load_mnist(protocol.values.get("split", "60k/10k"))
    sizes = {"train": len(data.train), "test": len(data.test), "valid": len(data.valid)}
    return {split: size for split, size in sizes.items() if size}


def trial_cells(protocol: Protocol, method: Method, setting: str, scale: Scale) -> int:
    """How many cells the trials of a line have: none where there is only one, and so no choice."""
    tried = len(trials(protocol, method, setting, scale))
    return tried * len(protocol.selection_seeds) if tried > 1 else 0


def costs(protocol: Protocol, scale: Scale, measured: Mapping[Line, Pace]) -> dict[str, tuple[Cost, Cost]]:
    """The cost of the trials and of the reports in each setting."""
    sizes = split_sizes(protocol)
    kinds = [_work(settings, sizes) for settings in (trial_settings_at(protocol, scale), settings_at(protocol, scale))]
    found = {setting: (Cost(), Cost()) for setting in protocol.settings}
    for method, setting in protocol.lines():
        pace, both = measured[method.method, setting], found[setting]
        cells = trial_cells(protocol, method, setting, scale), scale.seeds
        of_line = [
            Cost(n, n * (pace.start + pace.step * scale.steps), n * (pace.image * images + pace.draw * draws))
            for n, (images, draws) in zip(cells, kinds, strict=True)
        ]
        found[setting] = both[0] + of_line[0], both[1] + of_line[1]
    return found


def _work(settings: TrainSettings, sizes: Mapping[str, int]) -> tuple[int, int]:
    """How many images a cell evaluates, and how many draws its bound takes."""
    images = sum(min(settings.images, sizes[split]) for split in settings.splits or sizes)
    return images * settings.evaluations, min(settings.iw_images, sizes["test"]) * settings.iw_samples


def seconds(protocol: Protocol, scale: Scale, measured: Mapping[Line, Pace]) -> float:
    """About how many seconds the whole protocol takes."""
    return sum(trial.seconds + report.seconds for trial, report in costs(protocol, scale, measured).values())


def fitting(protocol: Protocol, most: Scale, budget: float, measured: Mapping[Line, Pace]) -> Scale:
    """The scale with the most steps within a budget of seconds.

    It keeps the whole sweep and all seeds if that leaves ENOUGH_STEPS; otherwise one value of each sweep; otherwise one
    seed as well. Raises UsageError when even that leaves no step.
    """
    available = budget * (1 - RESERVED)
    rungs = (most, replace(most, trials=1), replace(most, trials=1, seeds=1))
    for rung in rungs:
        steps = _most_steps(rung.steps, lambda n: seconds(protocol, replace(rung, steps=n), measured) <= available)  # noqa: B023
        if steps >= min(ENOUGH_STEPS, most.steps) or (rung == rungs[-1] and steps):
            return replace(rung, steps=steps)
    least = seconds(protocol, replace(rungs[-1], steps=1), measured) / (1 - RESERVED)
    raise UsageError(
        f"one step of each cell of {protocol.name} takes about {minutes(least)}, and --budget leaves "
        f"{minutes(max(0.0, budget))}; give a larger --budget, or fewer methods with -e"
    )


def _most_steps(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n from 0 to `most` that fits, by bisection: 0 is assumed to fit, and all n below one that does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def duration(text: str) -> float:
    """The seconds that a text such as `90s`, `2m` or `1.5h` means. Raises UsageError on anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        value = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{text!r} is not a duration; write, for example, 90s, 2m or 1.5h")
    return value
