"""The time of training and evaluation that a protocol takes here; the scale that fits a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ...estimators.names import UsageError
from ..run.screen import minutes
from ..sources.settings import TrainSettings
from .probe import Pace, split_sizes
from .protocol import Method, Protocol
from .scale import Scale, settings_at, trial_settings_at, trials
from .selection import Line

ENOUGH_STEPS = 10
RESERVED = 0.15  # of a budget, for tables, figures and what a probe does not measure


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


def trial_cells(protocol: Protocol, method: Method, setting: str, scale: Scale) -> int:
    """How many cells the trials of a line have: none where there is only one, and so no choice."""
    tried = len(trials(protocol, method, setting, scale))
    return tried * len(protocol.selection_seeds) if tried > 1 else 0


def costs(protocol: Protocol, scale: Scale, measured: Mapping[Line, Pace]) -> dict[str, tuple[Cost, Cost]]:
    """The cost of the trials and of the reports in each setting."""
    sizes = split_sizes(protocol)
    kinds = trial_settings_at(protocol, scale), settings_at(protocol, scale)
    found = {setting: (Cost(), Cost()) for setting in protocol.settings}
    for method, setting in protocol.lines():
        pace, both = measured[method.method, setting], found[setting]
        cells = trial_cells(protocol, method, setting, scale), scale.seeds
        of_line = [
            Cost(n, n * (pace.start + pace.step * scale.steps), n * _evaluation(pace, settings, sizes))
            for n, settings in zip(cells, kinds, strict=True)
        ]
        found[setting] = both[0] + of_line[0], both[1] + of_line[1]
    return found


def _evaluation(pace: Pace, settings: TrainSettings, sizes: Mapping[str, int]) -> float:
    """Seconds of all evaluations of a cell."""
    images = sum(min(settings.images, sizes[split]) for split in settings.splits or sizes) * settings.evaluations
    draws = min(settings.iw_images, sizes["test"]) * settings.iw_samples
    log_z = pace.log_z * (settings.evaluations - 1) + pace.last_log_z
    return pace.image * images + pace.draw * draws + log_z


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
