"""All properties of all chosen estimators, one result per property and estimator.

Estimators are tested in other processes, so that whatever one of them does is a failure: the built-in ones in one,
those of each plugin file or installed package in one of their own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS, Plugin
from ..run.executors.limits import Limits
from ..run.executors.process import Lost, Process, Send
from ..run.guard import Guard
from .bias import unbiased, value
from .case import Case, Failed, Skipped
from .costs import cost
from .device import device
from .facts import declared, facts
from .numbers import dtypes, shapes
from .objective import objective
from .randomness import determinism
from .rows import rows
from .splicing import splice
from .state import state
from .validation import latent

Property = Callable[[Case], str]
"""Returns a note; raises Failed or Skipped."""

PROPERTIES: dict[str, Property] = {
    "facts": facts,
    "unbiased": unbiased,
    "value": value,
    "rows": rows,
    "determinism": determinism,
    "dtypes": dtypes,
    "shapes": shapes,
    "cost": cost,
    "state": state,
    "splice": splice,
    "latent": latent,
    "objective": objective,
}
DEVICE = "device"
CPU = torch.device("cpu")
TIMEOUT = 600.0
"""Seconds for one property of one estimator; the slowest of ours takes a tenth of that."""


@dataclass(frozen=True)
class Result:
    """The outcome of one property of one estimator.

    about: the property. status: ok, FAILED or skipped. text: a note, the error, or the reason.
    """

    estimator: str
    about: str
    status: str
    text: str

    @property
    def failed(self) -> bool:
        return self.status == "FAILED"

    def __str__(self) -> str:
        text = f"({self.text})" if self.status == "skipped" else self.text
        return f"{self.estimator}  {self.about:<11}  {self.status:<7}  {text}".rstrip()


def check(names: Iterable[Name | str], timeout: float = TIMEOUT) -> Iterator[Result]:
    """Every property of each estimator, on one thread; what takes longer than `timeout` seconds fails.

    A str may stand for several names, as on the command line. Raises UsageError for an unknown name.
    """
    chosen = [each for name in names for each in (ESTIMATORS.select([name]) if isinstance(name, str) else [name])]
    groups: dict[str, list[Name]] = {}
    for name in chosen:
        groups.setdefault(ESTIMATORS.find(name.family).origin, []).append(name)
    for group in groups.values():
        with closing(Tester(timeout)) as numbers, closing(Tester(timeout)) as fake:
            for name in group:
                yield from numbers.results(conform, name)
                if numbers.sound:
                    yield from fake.results(run_on_device, name)


class Tester:
    """A process that tests one estimator after another; when it dies, a new one takes its place.

    sound: whether the last estimator could be tested to the end.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.limits = Limits(timeout=timeout)
        self.process: Process | None = None
        self.sound = True

    def results(self, test: Callable[[Name, Send], bool], name: Name) -> Iterator[Result]:
        """The results of a test of an estimator; FAILED for the property that ends the process or exceeds the timeout.

        The test sends each property's name before it begins, and its result.
        """
        self.process = self.process or Process(1, self.limits)
        what = "facts"
        for sent in self.process.stream(partial(test, name)):
            match sent:
                case str():
                    what = sent
                case Result():
                    yield sent
                case Lost():
                    self.close()
                    self.sound = False
                    yield Result(str(name), what, "FAILED", sent.reason)
                case _:
                    self.sound = sent.value

    def close(self) -> None:
        if self.process is not None:
            self.process.close()
        self.process = None


def conform(name: Name, send: Send) -> bool:
    """Send the result of each property but `device`; returns whether the estimator can be tested at all."""
    plugin = ESTIMATORS.find(name.family)
    try:
        with Guard(CPU):
            declared(plugin, plugin.load())
    except Exception as error:
        send(Result(str(name), "facts", "FAILED", sentence(error, plugin)))
        return False
    for what, property_ in PROPERTIES.items():
        send(what)
        send(try_kinds(plugin, name, what, property_))
    return True


def run_on_device(name: Name, send: Send) -> bool:
    """Send the result of `device`, in a process for it alone: the fake device cannot be unregistered."""
    send(DEVICE)
    send(try_kinds(ESTIMATORS.find(name.family), name, DEVICE, device))
    return True


def try_kinds(plugin: Plugin, name: Name, what: str, property_: Property) -> Result:
    """One property on every kind of latent that the estimator declares."""
    notes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    cls = plugin.load()
    for kind in cls.latents:
        try:
            with Guard(CPU):
                notes[kind] = property_(Case(plugin, name, cls, kind))
        except Skipped as reason:
            reasons[kind] = str(reason)
        except Exception as error:
            return Result(str(name), what, "FAILED", f"{kind}: {sentence(error, plugin)}")
    if not notes:
        return Result(str(name), what, "skipped", _joined(reasons))
    return Result(str(name), what, "ok", _joined(notes | {kind: f"skipped ({why})" for kind, why in reasons.items()}))


def _joined(notes: dict[str, str]) -> str:
    """`note` where all kinds agree, else `kind: note; kind: note`."""
    if len(set(notes.values())) == 1:
        return next(iter(notes.values()))
    return "; ".join(f"{kind}: {note}" for kind, note in notes.items() if note)


def sentence(error: BaseException, plugin: Plugin) -> str:
    """The error in one line and, if the plugin raised it, its place in the plugin's file."""
    if isinstance(error, Failed):
        return str(error)
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == plugin.path]
    return f"it raises {text}" + (f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else "")
