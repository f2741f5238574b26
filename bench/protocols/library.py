"""The built-in protocols: one TOML file each in tasks/protocols/, read strictly. No torch."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from ...estimators.names import UsageError, nearest
from ...estimators.registry import TASKS, Plugin
from ..sources import SOURCES, STEPS
from .protocol import METRICS, TRAINING_IMAGES, Method, Protocol, Table
from .search import range_of, sweeps

FOLDER = Path(__file__).resolve().parent.parent.parent / "tasks" / "protocols"

T = TypeVar("T")

_STEM = re.compile(r"\w[\w.-]*")

_KINDS: dict[str, tuple[type, type | None]] = {
    "str": (str, None),
    "int": (int, None),
    "tuple[str, ...]": (list, str),
    "tuple[int, ...]": (list, int),
    "Table": (dict, None),
}
_CHOICES = {
    "numbers": ("verified", "recalled", "none"),
    "report": ("last", "best"),
    "select": ("best train", "best valid"),
}


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def plugins() -> list[Plugin]:
    """The protocols in the form that `list` and `show` take: the subject of each, and its file."""
    paths = [FOLDER / f"{name}.toml" for name in names()]
    return [
        Plugin(path.stem, "protocols", "", "", path, {"about": load(path.stem).about, "doc": path.read_text("utf-8")})
        for path in paths
    ]


def load(name: str) -> Protocol:
    """The protocol of this name, or of the TOML file at this path.

    Raises UsageError on an unknown name, and on an unknown, missing or ill-typed key, naming it and its file.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not (path.is_file() if name.endswith(".toml") else name in names()):
        raise UsageError(f"no protocol is called {name!r}{nearest(name, names())}")
    if not _STEM.fullmatch(path.stem):
        raise UsageError(
            f"{path.name!r} cannot name a results folder; rename it, with letters, digits, '.', '_' and '-' only"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not TOML ({error}); fix it") from error
    return from_table(table, path.stem)


def from_table(table: Table, name: str) -> Protocol:
    """The protocol that a parsed TOML file describes. Raises UsageError naming an unknown, missing or ill-typed key."""
    where = f"{name}.toml"
    entries = table.get("methods", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{where}: methods must be tables, each below a line [[methods]]")
    methods = tuple(_read(Method, entry, f"{where}: a method") for entry in entries)
    protocol = _read(Protocol, {**table, "name": name}, where, methods=methods)
    _check(protocol)
    return protocol


def _read(cls: type[T], table: Table, where: str, **ready: Any) -> T:
    """A dataclass from a table whose keys are its fields; `ready` values replace those of the table."""
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise UsageError(f"{where} has an unknown key {key!r}{nearest(key, known)}")
    for key, each in known.items():
        optional = each.default is not MISSING or each.default_factory is not MISSING
        if key not in table and not optional:
            raise UsageError(f"{where} has no key {key!r}; add it")
        value = ready.get(key, table.get(key))
        if key in table and key not in ready:
            kind, inner = _KINDS[str(each.type)]
            elements = value if inner is not None and isinstance(value, list) else []
            if type(value) is not kind or not all(type(element) is inner for element in elements):
                raise UsageError(f"{where}: {key} must be {_in_words(str(each.type))}, got {value!r}")
            if value not in _CHOICES.get(key, (value,)):
                raise UsageError(f"{where}: {key} must be one of {', '.join(_CHOICES[key])}, got {value!r}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return cls(**given | ready)


def _in_words(kind: str) -> str:
    words = {"str": "text", "int": "a whole number", "Table": "a table", "tuple[str, ...]": "a list of texts"}
    return words.get(kind, "a list of whole numbers")


def _check(protocol: Protocol) -> None:
    """Check what concerns values and several keys at once. Raises UsageError."""
    name = f"{protocol.name}.toml"
    if min(protocol.steps, protocol.epochs) < 0 or (protocol.steps > 0) == (protocol.epochs > 0):
        raise UsageError(f"{name}: give either steps or epochs, above 0")
    if protocol.source not in SOURCES:
        raise UsageError(f"{name}: source must be one of {', '.join(SOURCES)}, got {protocol.source!r}")
    if protocol.source not in (able := TASKS.find(protocol.task).fact("sources", ())):
        raise UsageError(f"{name}: {protocol.task} is measured by {', '.join(able)}, not by {protocol.source}")
    measures = [f"{metric}_{split}" for metric, (_, splits) in METRICS.items() for split in splits]
    if protocol.source == STEPS.name and protocol.measured not in measures:
        raise UsageError(
            f"{name}: metric must be one of {', '.join(measures)}, with a minus for its negative, got "
            f"{protocol.metric!r}{nearest(protocol.measured, measures)}"
        )
    known = [each.name for each in fields(SOURCES[protocol.source].presets["paper"])]
    if protocol.measuring and protocol.source == STEPS.name:
        raise UsageError(f"{name}: measuring is of toys; give the values of a training in [values]")
    for key in protocol.measuring:
        if key not in known:
            raise UsageError(f"{name}: measuring has an unknown setting {key!r}{nearest(key, known)}")
    for setting, values in protocol.reported.items():
        if setting not in protocol.settings:
            raise UsageError(
                f"{name}: reported has {setting!r}, which is no setting{nearest(setting, protocol.settings)}"
            )
        if not isinstance(values, dict) or set(values) - {"metric", "step"}:
            raise UsageError(f"{name}: reported in {setting!r} must be a table of metric and step, got {values!r}")
        step, metric = values.get("step", 1), values.get("metric", "")
        if type(step) is not int or step < 1 or not isinstance(metric, str):
            raise UsageError(
                f"{name}: reported in {setting!r} must have a step above 0 and a metric in text, got {values!r}"
            )
    if protocol.trials < 0 or protocol.trials == 1:
        raise UsageError(f"{name}: trials must be 0 for a grid, or at least 2, got {protocol.trials}")
    for key in ("seeds", "evaluations", "samples"):
        if getattr(protocol, key) < 1:
            raise UsageError(f"{name}: {key} must be at least 1")
    if protocol.values.get("split", "60k/10k") not in list(TRAINING_IMAGES):
        raise UsageError(f"{name}: values.split must be one of {', '.join(TRAINING_IMAGES)}")
    batch = protocol.values.get("batch", 100)
    if type(batch) is not int or not 0 < batch <= min(TRAINING_IMAGES.values()):
        raise UsageError(f"{name}: values.batch must be a whole number of images above 0, got {batch!r}")
    if (
        "valid" in (protocol.selection_split, protocol.measured.rpartition("_")[2])
        and protocol.values.get("split") != "50k/10k/10k"
    ):
        raise UsageError(f"{name} needs validation images, but its split has none; use split 50k/10k/10k")
    if not protocol.methods or not protocol.settings:
        raise UsageError(f"{name} compares nothing: add [[methods]] and [settings]")
    seeds = protocol.selection_seeds
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**31 for seed in seeds):
        raise UsageError(f"{name}: selection_seeds must be different numbers from 0 to 2147483647, got {list(seeds)}")
    if set(protocol.selection_seeds) & set(range(protocol.seeds)):
        raise UsageError(
            f"{name}: a selection seed is among the reporting seeds 0 to {protocol.seeds - 1}; choose another"
        )
    searched = bool(protocol.sweep) or any("{" in method.estimator for method in protocol.methods)
    if searched and not protocol.selection_seeds:
        raise UsageError(f"{name} has a sweep but no selection_seeds; add some, such as [1000]")
    if searched and protocol.source != STEPS.name:
        raise UsageError(f"{name}: only trainings are searched; give each method of a toy one value of each parameter")
    own = [("sweep", protocol.sweep), *protocol.settings.items()]
    own += [(method.method, method.values) for method in protocol.methods]
    for key, (line, values) in itertools.product(("batch", "split"), own if protocol.epochs else ()):
        if isinstance(values, dict) and key in values:
            raise UsageError(f"{name}: {line!r} has its own {key}, so that epochs have no one length; give steps")
    for key, choices in protocol.sweep.items():
        if choices == [] or not (isinstance(choices, list) or range_of([choices])):
            raise UsageError(f"{name}: sweep.{key} must be a list of values or a range, '1e-4..1e-2', got {choices!r}")
    for setting, values in protocol.settings.items():
        if not isinstance(values, dict):
            raise UsageError(f"{name}: the setting {setting!r} must be a table of task values, got {values!r}")
    lines = [(method.method, setting) for method, setting in protocol.lines()]
    twice = [line for line in dict.fromkeys(lines) if lines.count(line) > 1]
    if twice:
        raise UsageError(f"{name} has {twice[0][0]!r} twice in {twice[0][1]!r}; give each method once per setting")
    for method, setting in protocol.lines():
        both = sweeps(protocol, method, setting)
        ranges = [key for sweep in both for key, values in sweep.choices.items() if range_of(values)]
        if ranges and not protocol.trials:
            raise UsageError(f"{name}: {method.method!r} has a range of {ranges[0]}; add the number of trials")
        if protocol.trials and not ranges:
            raise UsageError(f"{name}: {method.method!r} has no range to draw {protocol.trials} trials from; add one")
    for method in protocol.methods:
        if protocol.numbers == "none" and method.published:
            raise UsageError(
                f"{name}: numbers are none, but {method.method!r} has published ones; write verified or recalled"
            )
        for setting, numbers in method.published.items():
            if setting not in protocol.settings:
                raise UsageError(
                    f"{name}: {method.method!r} has numbers in {setting!r}{nearest(setting, protocol.settings)}"
                )
            pair = numbers if isinstance(numbers, list) else [numbers, 0.0]
            known_numbers = [type(number) in (int, float) and abs(number) < math.inf for number in pair]
            if len(pair) != 2 or not all(known_numbers) or pair[1] < 0:
                raise UsageError(
                    f"{name}: {method.method!r} in {setting!r} must be a value or [value, spread], finite, the spread "
                    "at least 0"
                )
