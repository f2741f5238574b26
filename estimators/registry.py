"""Finding plugins by name. No plugin is imported, so that `list` needs no torch.

Built-in plugins are the classes with a literal `name` below a folder; third-party ones come from entry points
(group dvae_bench.estimators, dvae_bench.tasks, dvae_bench.collectors) or from a file given with --plugin.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from .names import Name, Sweep, UsageError, check_together, check_value, nearest
from .plugin import Plugin, malformed
from .plugin_source import heads, installed_facts, read_plugins

_ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"\w[\w+.-]*")
LETTERS = "use letters, digits, '+', '.', '_' and '-'"


@dataclass
class Registry:
    """All plugins of one kind. words: other words that select plugins, such as `toy`, each with its test."""

    kind: str
    folder: Path
    group: str
    words: Mapping[str, Callable[[Plugin], bool]] = field(default_factory=dict)
    extra: dict[str, Plugin] = field(default_factory=dict)

    @functools.cached_property
    def builtin(self) -> dict[str, Plugin]:
        found = (p for path in sorted(self.folder.rglob("*.py")) for p in read_plugins(path, _module_name(path), heads))
        return {plugin.name: plugin for plugin in found}

    @functools.cached_property
    def third_party(self) -> dict[str, Plugin]:
        """Those of installed packages. A name that is malformed or taken belongs to a plugin with a fault."""
        found: dict[str, Plugin] = {}
        for point in entry_points(group=self.group):
            plugin = self._from_entry_point(point)
            for earlier in [other for other in found.values() if other != plugin]:
                for name in set(earlier.names).intersection(plugin.names):
                    both = f"the packages {earlier.package} and {plugin.package} both have the {self.kind} {name!r}"
                    plugin = replace(plugin, fault=f"{both}; uninstall one of them, or leave it out with --exclude")
            found[point.name] = plugin
        return found

    def _from_entry_point(self, point: EntryPoint) -> Plugin:
        package = point.dist.name if point.dist else "an unknown package"
        where = f"the entry point {point.name!r} of the package {package}"
        value = EntryPoint.pattern.match(point.value)
        module, attribute = (value["module"], value["attr"] or "") if value else ("", "")
        plugin = Plugin(point.name, "third-party", module, attribute, kind=self.kind, package=package)
        facts = installed_facts(module, attribute) if attribute else {}
        others = [p for p in self.builtin.values() if (p.module, p.attribute) != (module, attribute)]
        taken = {name for other in others for name in other.names}
        fault = ""
        if not _NAME.fullmatch(point.name):
            fault = f"{where} is not a valid name; {LETTERS}"
        elif not attribute:
            fault = f"{where} is {point.value!r}, not module:Class"
        elif wrong := malformed(facts):
            fault = f"{where}: {wrong}"
        elif clash := taken.intersection((point.name, *facts.get("aliases", ()))):
            fault = f"the packages dvae-bench and {package} both have the {self.kind} {min(clash)!r}"
        return replace(
            plugin,
            facts=facts,
            fault=f"{fault}; fix or uninstall {package}, or leave it out with --exclude" if fault else "",
        )

    def __iter__(self) -> Iterator[Plugin]:
        return iter((self.builtin | self.third_party | self.extra).values())

    def add_file(self, path: Path) -> list[Plugin]:
        """Register and return the plugins of this kind in a file, which is imported once one of them is used.

        Raises UsageError if the file does not exist or a name in it is malformed or taken.
        """
        if not path.is_file():
            raise UsageError(f"no plugin file {path}")
        plugins = read_plugins(path.resolve(), f"dvae_bench_plugin_{abs(hash(path.resolve()))}_{path.stem}")
        found = [plugin for plugin in plugins if plugin.kind == self.kind]
        others = [plugin for plugin in self if plugin.path != path.resolve()]
        owner = {name: plugin for plugin in others for name in plugin.names}
        for plugin in found:
            if wrong := malformed(plugin.facts):
                raise UsageError(f"{path}: {wrong}")
            for name in plugin.names:
                if not _NAME.fullmatch(name):
                    raise UsageError(f"{path}: {name!r} is not a valid name; {LETTERS}")
                if name in owner:
                    other = owner[name].origin or "dvae-bench"
                    raise UsageError(f"{path}: {other} has the {self.kind} {name!r} already; give yours another name")
        self.extra.update({plugin.name: plugin for plugin in found})
        return found

    def find(self, family: str) -> Plugin:
        """The plugin with this name or alias. Raises UsageError with the three nearest names, or its fault."""
        plugins = {plugin.name: plugin for plugin in self}
        aliases = {alias: p for p in plugins.values() for alias in p.names}
        if family not in plugins | aliases:
            raise UsageError(f"unknown {self.kind} {family!r}{nearest(family, plugins | aliases)}")
        plugin = (aliases | plugins)[family]
        if plugin.fault:
            raise UsageError(plugin.fault)
        return plugin

    def canonical(self, name: Name) -> Name:
        """`name` with its alias resolved, its values checked and defaults left out."""
        (found,) = self.variants(Sweep(name.family, {key: [value] for key, value in name.params}))
        return found

    def variants(self, sweep: Sweep) -> list[Name]:
        """The canonical names of a sweep. Each key and value is checked before anything is expanded."""
        plugin = self.find(sweep.family)
        if not sweep.choices:
            return [Name(plugin.name)]
        rules = plugin.fact("hyperparameters", {})
        checked = {
            key: [check_value(plugin.name, rules, key, value) for value in values]
            for key, values in sweep.choices.items()
        }
        names = Sweep(plugin.name, checked).names()
        for name in names:
            check_together(plugin.name, rules, name.values)
        return [Name.canonical(plugin.name, rules, name.values) for name in names]

    def forget(self, name: str) -> None:
        """Leave out a third-party plugin."""
        for plugins in (self.third_party, self.extra):
            plugins.pop(name, None)

    def select(self, patterns: Iterable[str], left_out: Callable[[str], bool] = lambda name: False) -> list[Name]:
        """Canonical names of `all`, a word, globs on names, and `name:key=value` with sweeps, in order, once each.

        left_out: the names that `all`, words and globs leave out, whatever is wrong with their plugins.
        """
        names: dict[Name, None] = {}
        for pattern in patterns:
            family, colon, rest = pattern.partition(":")
            if pattern == "all" or any(c in family for c in "*?["):
                families = [p.name for p in self if pattern == "all" or fnmatch.fnmatchcase(p.name, family)]
                if not families:
                    raise UsageError(f"no {self.kind} matches {family!r}{nearest(family, (p.name for p in self))}")
                families = [name for name in families if not left_out(name)]
            elif family in self.words:
                families = [p.name for p in self if not left_out(p.name) and self.words[family](p)]
            else:
                families = [family]
            for each in families:
                names |= dict.fromkeys(self.variants(Sweep.parse(each + colon + rest)))
        return list(names)


def matches(name: Name, pattern: str) -> bool:
    """Whether an exclusion matches a name: as a glob on its family, or as the whole name."""
    return fnmatch.fnmatchcase(name.family, pattern) or str(name) == pattern


def _module_name(path: Path) -> str:
    return ".".join(("dvae_bench", *path.relative_to(_ROOT).with_suffix("").parts))


TOY_SOURCES = ("draws", "clock")
"""`Task.sources` of a task that states none, which is a toy."""


def _is_toy(task: Plugin) -> bool:
    return "draws" in task.fact("sources", TOY_SOURCES)


ESTIMATORS = Registry("estimator", _ROOT / "estimators", "dvae_bench.estimators")
TASKS = Registry("task", _ROOT / "tasks", "dvae_bench.tasks", {"toy": _is_toy, "vae": lambda task: not _is_toy(task)})
COLLECTORS = Registry("collector", _ROOT / "bench" / "collectors", "dvae_bench.collectors")
