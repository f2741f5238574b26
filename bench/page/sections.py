"""The page's sections on each estimator, on failures, on missing data, and on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dvae_bench.estimators.names import allowed
from dvae_bench.estimators.registry import ESTIMATORS

from ..report.rows import CELL, UNSUPPORTED, unmeasured
from ..report.study import Study
from .leaderboard import Line


@dataclass(frozen=True)
class Section:
    """An estimator's family: `anchor` is ours, everything else may come from a plugin."""

    anchor: str
    name: str
    about: str
    formula: str
    doc: str
    facts: Mapping[str, str]
    lines: list[Line]


def sections(lines: Iterable[Line]) -> list[Section]:
    """One section per family that was measured, by name, with the facts of the installed plugins."""
    by_family: dict[str, list[Line]] = {}
    for line in lines:
        by_family.setdefault(line.estimator.partition(":")[0], []).append(line)
    plugins = {plugin.name: plugin for plugin in ESTIMATORS}
    found = []
    for i, (family, own) in enumerate(sorted(by_family.items())):
        facts = dict(plugins[family].facts) if family in plugins else {}
        doc = facts.get("doc", "This estimator is not installed here, so only its results are shown.")
        about, formula = facts.get("about", ""), facts.get("formula", "")
        found.append(Section(f"estimator-{i}", family, about, formula, doc, _shown(facts), own))
    return found


def _shown(facts: Mapping[str, Any]) -> dict[str, str]:
    shown = {key: facts[key] for key in ("latents", "differentiates", "cost", "reference") if key in facts}
    for key, rule in facts.get("hyperparameters", {}).items():
        shown[key] = "; ".join(filter(None, (rule.get("about"), f"default {rule['default']}", allowed(rule))))
    return {key: ", ".join(value) if isinstance(value, tuple | list) else str(value) for key, value in shown.items()}


@dataclass(frozen=True)
class Failure:
    """Cells with the same status and reason."""

    status: str
    reason: str
    cells: list[str]


def failed(studies: Iterable[Study]) -> list[Failure]:
    """Errors first; each reason in full, once."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for study in studies:
        for row in unmeasured(study.rows)[[*CELL, "status", "reason"]].to_dict("records"):
            cells = found.setdefault((row["status"], row["reason"]), {})
            cells[f"{row['estimator']} on {row['task']}"] = None
    order = sorted(found, key=lambda key: (key[0] != "error", key))
    return [Failure(status, reason, list(found[status, reason])) for status, reason in order]


def counts(lines: Sequence[Line]) -> str:
    """How much was measured, such as "73 estimators · 11 tasks · 686 measured, 117 unsupported"."""
    if not lines:
        return ""
    estimators, tasks = (len({getattr(line, key) for line in lines}) for key in ("estimator", "task"))
    states = Counter(line.state if line.state in ("failed", UNSUPPORTED) else "measured" for line in lines)
    shown = ", ".join(f"{states[state]} {state}" for state in ("measured", "failed", UNSUPPORTED) if states[state])
    return f"{estimators} estimator{'s' * (estimators > 1)} · {tasks} task{'s' * (tasks > 1)} · {shown}"


def missing(studies: Iterable[Study], lines: list[Line], views: Mapping[str, Any]) -> list[str]:
    """What this page lacks, one sentence each."""
    notes = []
    for study in studies:
        if study.rows.empty:
            notes.append(
                f"{study.label} holds no measured cell: run `dvae-bench run -o {study.label}` and report again."
            )
        elif not study.context:
            notes.append(f"{study.label} holds no context.json: the machine and the versions are unknown.")
        if study.damaged:
            notes.append(
                f"{len(study.damaged)} damaged cells of {study.label} are left out ({', '.join(study.damaged)}): run "
                "the command that measured them again."
            )
    lost = sum(line.state == "failed" for line in lines)
    if lost:
        notes.append(f"{lost} of {len(lines)} lines of the leaderboard failed; the reasons are below.")
    return notes + [f"No chart of {name.lower()}: {found}." for name, found in views.items() if isinstance(found, str)]


def context(study: Study) -> dict[str, str]:
    """The context and the settings of a run as names and texts, nested names joined by a dot."""
    return {key: text for key, text in _flat("", {**study.context, "settings": study.settings}) if text}


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list) and value and all(isinstance(inner, Mapping) for inner in value):
        for i, inner in enumerate(value):
            yield from _flat(prefix if len(value) == 1 else f"{prefix}.{i}", inner)
    else:
        yield prefix, " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
