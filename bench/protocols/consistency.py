"""Whether the values of a protocol fit each other, before anything is trained for it. No torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ...estimators.names import UsageError, nearest
from ...estimators.registry import TASKS
from ..sources import SOURCES, STEPS
from .protocol import METRICS, TRAINING_IMAGES, Protocol
from .search import range_of, sweeps

DEFAULT_SPLIT, VALIDATED = "60k/10k", "50k/10k/10k"


def check(protocol: Protocol) -> None:
    """Raises UsageError, naming the file and the fix."""

    def refuse(words: str) -> None:
        raise UsageError(f"{protocol.name}.toml: {words}")

    for part in (_lengths, _measurement, _lines, _search, _published):
        part(protocol, refuse)


Refuse = Callable[[str], None]


def _lengths(protocol: Protocol, refuse: Refuse) -> None:
    if min(protocol.steps, protocol.epochs) < 0 or (protocol.steps > 0) == (protocol.epochs > 0):
        refuse("give either steps or epochs, above 0")
    for key in ("seeds", "evaluations", "samples"):
        if getattr(protocol, key) < 1:
            refuse(f"{key} must be at least 1")
    if protocol.values.get("split", DEFAULT_SPLIT) not in list(TRAINING_IMAGES):
        refuse(f"values.split must be one of {', '.join(TRAINING_IMAGES)}")
    batch = protocol.values.get("batch", 100)
    if type(batch) is not int or not 0 < batch <= min(TRAINING_IMAGES.values()):
        refuse(f"values.batch must be a whole number of images above 0, got {batch!r}")
    others: list[tuple[str, Any]] = [("sweep", protocol.sweep), *protocol.settings.items()]
    others += [(method.method, method.values) for method in protocol.methods]
    for key, (line, values) in itertools.product(("batch", "split"), others if protocol.epochs else ()):
        if isinstance(values, dict) and key in values:
            refuse(f"{line!r} has its own {key}, so that epochs have no one length; give steps")


def _measurement(protocol: Protocol, refuse: Refuse) -> None:
    if protocol.source not in SOURCES:
        refuse(f"source must be one of {', '.join(SOURCES)}, got {protocol.source!r}")
    if protocol.source not in (able := TASKS.find(protocol.task).fact("sources", ())):
        refuse(f"{protocol.task} is measured by {', '.join(able)}, not by {protocol.source}")
    measures = [f"{metric}_{split}" for metric, (_, splits) in METRICS.items() for split in splits]
    training = protocol.source == STEPS.name
    if training and protocol.measured not in measures:
        refuse(
            f"metric must be one of {', '.join(measures)}, with a minus for its negative, got {protocol.metric!r}"
            f"{nearest(protocol.measured, measures)}"
        )
    if training and protocol.measuring:
        refuse("measuring is of toys; give the values of a training in [values]")
    known = [each.name for each in fields(SOURCES[protocol.source].presets["paper"])]
    for key in protocol.measuring:
        if key not in known:
            refuse(f"measuring has an unknown setting {key!r}{nearest(key, known)}")
    for setting, values in protocol.reported.items():
        if setting not in protocol.settings:
            refuse(f"reported has {setting!r}, which is no setting{nearest(setting, protocol.settings)}")
        if not isinstance(values, dict) or set(values) - {"metric", "step"}:
            refuse(f"reported in {setting!r} must be a table of metric and step, got {values!r}")
        step, metric = values.get("step", 1), values.get("metric", "")
        if type(step) is not int or step < 1 or not isinstance(metric, str):
            refuse(f"reported in {setting!r} must have a step above 0 and a metric in text, got {values!r}")
    split = protocol.measured.rpartition("_")[2]
    if "valid" in (protocol.selection_split, split) and protocol.values.get("split") != VALIDATED:
        refuse(f"validation images are needed, but the split has none; use split {VALIDATED}")


def _lines(protocol: Protocol, refuse: Refuse) -> None:
    if not protocol.methods or not protocol.settings:
        refuse("nothing is compared: add [[methods]] and [settings]")
    for setting, values in protocol.settings.items():
        if not isinstance(values, dict):
            refuse(f"the setting {setting!r} must be a table of task values, got {values!r}")
    lines = [(method.method, setting) for method, setting in protocol.lines()]
    twice = [line for line in dict.fromkeys(lines) if lines.count(line) > 1]
    if twice:
        refuse(f"{twice[0][0]!r} stands twice in {twice[0][1]!r}; give each method once per setting")


def _search(protocol: Protocol, refuse: Refuse) -> None:
    if protocol.trials < 0 or protocol.trials == 1:
        refuse(f"trials must be 0 for a grid, or at least 2, got {protocol.trials}")
    seeds = protocol.selection_seeds
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**31 for seed in seeds):
        refuse(f"selection_seeds must be different numbers from 0 to {2**31 - 1}, got {list(seeds)}")
    if set(seeds) & set(range(protocol.seeds)):
        refuse(f"a selection seed is among the reporting seeds 0 to {protocol.seeds - 1}; choose another")
    searched = bool(protocol.sweep) or any("{" in method.estimator for method in protocol.methods)
    if searched and not seeds:
        refuse("a sweep needs selection_seeds; add some, such as [1000]")
    if searched and protocol.source != STEPS.name:
        refuse("only trainings are searched; give each method of a toy one value of each parameter")
    for key, choices in protocol.sweep.items():
        if choices == [] or not (isinstance(choices, list) or range_of([choices])):
            refuse(f"sweep.{key} must be a list of values or a range, '1e-4..1e-2', got {choices!r}")
    for method, setting in protocol.lines():
        both = sweeps(protocol, method, setting)
        ranges = [key for sweep in both for key, values in sweep.choices.items() if range_of(values)]
        if ranges and not protocol.trials:
            refuse(f"{method.method!r} has a range of {ranges[0]}; add the number of trials")
        if protocol.trials and not ranges:
            refuse(f"{method.method!r} has no range to draw {protocol.trials} trials from; add one")


def _published(protocol: Protocol, refuse: Refuse) -> None:
    for method in protocol.methods:
        if protocol.numbers == "none" and method.published:
            refuse(f"numbers are none, but {method.method!r} has published ones; write verified or recalled")
        for setting, numbers in method.published.items():
            if setting not in protocol.settings:
                refuse(f"{method.method!r} has numbers in {setting!r}{nearest(setting, protocol.settings)}")
            pair = numbers if isinstance(numbers, list) else [numbers, 0.0]
            finite = [type(number) in (int, float) and abs(number) < math.inf for number in pair]
            if len(pair) != 2 or not all(finite) or pair[1] < 0:
                refuse(f"{method.method!r} in {setting!r} must be a finite value or [value, spread], spread at least 0")
