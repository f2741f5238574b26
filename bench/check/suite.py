"""All properties of all chosen estimators, one result per property and estimator."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS, Plugin
from .bias import unbiased, value
from .case import Case, Failed, Skipped
from .costs import cost
from .device import Device
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


def check(names: Iterable[Name | str]) -> Iterator[Result]:
    """Every property of each estimator, on one thread; `device` comes last, since its process runs meanwhile.

    A str may stand for several names, as on the command line. Raises UsageError for an unknown name.
    """
    torch.set_num_threads(1)
    chosen = [each for name in names for each in (ESTIMATORS.select([name]) if isinstance(name, str) else [name])]
    plugins = {name: ESTIMATORS.find(name.family) for name in chosen}
    with Device([(plugin, name) for name, plugin in plugins.items()]) as device:
        sound = []
        for name, plugin in plugins.items():
            try:
                declared(plugin, plugin.load())
            except Exception as error:
                yield Result(str(name), "facts", "FAILED", sentence(error, plugin))
                continue
            sound.append(name)
            for what, property_ in PROPERTIES.items():
                yield try_kinds(plugin, name, what, property_)
        for name in sound:
            yield try_kinds(plugins[name], name, DEVICE, device.ran)


def try_kinds(plugin: Plugin, name: Name, what: str, property_: Property) -> Result:
    """One property on every kind of latent that the estimator declares."""
    notes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    cls = plugin.load()
    for kind in cls.latents:
        try:
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
