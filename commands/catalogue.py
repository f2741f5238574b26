"""The catalogue of plugins, protocols, figures and presets: `list` and `show`, which import no plugin."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from ..bench import protocols
from ..estimators.names import Name, UsageError, allowed, nearest
from ..estimators.plugin import Plugin
from ..estimators.registry import ESTIMATORS, TASKS
from .plugins import KINDS, add_plugins


def list_(
    kind: Annotated[
        str, typer.Argument(help="estimators, tasks, collectors, protocols, figures, presets or support.")
    ] = "estimators",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugin: Annotated[list[Path], typer.Option(help="A Python file with plugins.")] = [],
) -> None:
    """List estimators, tasks, collectors, protocols, figures, presets, or which estimator supports which latents.

    No plugin is imported.
    """
    others = {"figures": _list_figures, "presets": _list_presets, "support": _list_support}
    if kind not in (*KINDS, "protocols", *others):
        raise UsageError(f"cannot list {kind!r}; choose one of {', '.join((*KINDS, 'protocols', *others))}")
    for path in plugin:
        add_plugins(path)
    if kind in others:
        others[kind](as_json)
        return
    plugins = protocols.plugins() if kind == "protocols" else list(KINDS[kind])
    if as_json:
        typer.echo(json.dumps([_facts(p) for p in plugins], indent=1))
        return
    width = max(len(p.name) for p in plugins)
    for p in plugins:
        parameters = ", ".join(f"{key}={rule['default']}" for key, rule in _rules(p).items())
        about = p.fault or (p.facts["about"] if p.facts else "third-party; facts on import")
        typer.echo(f"{p.name:{width}}  {about}" + (f"  [{parameters}]" if parameters else ""))


def _rules(plugin: Plugin) -> Mapping[str, Mapping[str, Any]]:
    return {} if plugin.fault else plugin.facts.get("hyperparameters", {})


def show(
    name: Annotated[str, typer.Argument(help="An estimator, task, collector or protocol.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one plugin (formula, facts, costs, reference, hyper-parameters), or the TOML file of one protocol."""
    family = Name.parse(name).family
    everything = {p.name: p for p in chain(*KINDS.values(), protocols.plugins())}
    everything |= {alias: p for p in list(everything.values()) for alias in p.names if alias not in everything}
    if family not in everything:
        raise UsageError(f"no plugin or protocol is called {family!r}{nearest(family, everything)}")
    if everything[family].fault:
        raise UsageError(everything[family].fault)
    facts = _facts(everything[family])
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    if everything[family].family == "protocols":
        typer.echo(facts["doc"], nl=False)
        return
    typer.echo(f"{facts.pop('name')}  ({facts.pop('family')})\n{facts.pop('about', '')}\n\n{facts.pop('doc', '')}\n")
    rules = facts.pop("hyperparameters", {})
    for key, value in facts.items():
        typer.echo(f"{key}: {_plain(value)}")
    if rules:
        typer.echo()
        _show_rules(rules)


def _show_rules(rules: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of hyper-parameters."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("parameter", "default", "allowed", "about"):
        table.add_column(column)
    for key, rule in rules.items():
        table.add_row(*map(Text, (key, str(rule["default"]), allowed(rule), rule.get("about", ""))))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _list_figures(as_json: bool) -> None:
    from ..bench.report import FIGURES

    if as_json:
        typer.echo(json.dumps([{"name": name, "about": about} for name, about in FIGURES.items()], indent=1))
        return
    width = max(map(len, FIGURES))
    for name, about in FIGURES.items():
        typer.echo(f"{name:{width}}  {about}")


def _list_presets(as_json: bool) -> None:
    from ..bench.run.presets import ABOUT, PRESETS

    if as_json:
        found = [{"name": name, "about": ABOUT[name], "tasks": preset.tasks} for name, preset in PRESETS.items()]
        typer.echo(json.dumps(found, indent=1))
        return
    for name, preset in PRESETS.items():
        typer.echo(f"{name:8}  {ABOUT[name]}\n{'':8}  tasks: {', '.join(preset.tasks)}")


def _list_support(as_json: bool) -> None:
    """The support matrix: estimators by kinds of latent, and the tasks of each kind."""
    from ..bench.run.support import KINDS as LATENTS
    from ..bench.run.support import kind_of

    matrix = {plugin.name: [kind in plugin.facts.get("latents", ()) for kind in LATENTS] for plugin in ESTIMATORS}
    tasks: dict[str, list[str]] = {kind: [] for kind in LATENTS}
    for task in TASKS:
        if kind := kind_of(Name(task.name)):
            tasks[kind].append(task.name)
    if as_json:
        supported = {name: [k for k, yes in zip(LATENTS, row, strict=True) if yes] for name, row in matrix.items()}
        typer.echo(json.dumps({"estimators": supported, "tasks": tasks}, indent=1))
        return
    width = max(map(len, matrix))
    typer.echo("  ".join([" " * width, *LATENTS]))
    for name, row in matrix.items():
        cells = [f"{'yes' if yes else '–':{len(kind)}}" for kind, yes in zip(LATENTS, row, strict=True)]
        typer.echo("  ".join([f"{name:{width}}", *cells]).rstrip())
    typer.echo()
    for kind, names in tasks.items():
        typer.echo(f"{kind} tasks, at their defaults: {', '.join(names)}")
    typer.echo(
        "Some estimators also need a latent small enough to enumerate, a single stochastic layer, a certain codebook "
        "or an f that can be differentiated; the page of a run names the reason."
    )


def _facts(plugin: Plugin) -> dict[str, Any]:
    return {"name": plugin.name, "family": plugin.family, **plugin.facts}


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
