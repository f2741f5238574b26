"""Finding plugins by name. Facts are read from the source with `ast`, so that `list` needs no torch.

Built-in plugins are the classes with a literal `name` below a folder; third-party ones come from entry points
(group dvae_bench.estimators, dvae_bench.tasks, dvae_bench.collectors) or from a file given with --plugin.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .names import Name, Sweep, UsageError, check_value, nearest

_ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"\w[\w+.-]*")
# Strings are matched first, so that a `def` inside a docstring is not taken for a method.
_STRING_OR_METHOD = re.compile(
    r'''("""|\'{3})[\s\S]*?\1|^(?P<indent> +)(?:@.*\n +)*(?:async )?def .*\n(?:(?:(?P=indent)[ )].*)?\n)*''',
    re.MULTILINE,
)


@dataclass(frozen=True)
class Plugin:
    """One estimator, task or collector: its name, its facts, and how to load its class."""

    name: str
    family: str
    module: str
    attribute: str
    path: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def load(self) -> Any:
        """Import the class."""
        if self.path is not None and self.module not in sys.modules and not self.module.startswith("dvae_bench."):
            spec = importlib.util.spec_from_file_location(self.module, self.path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[self.module] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[self.module]
                raise
        return functools.reduce(getattr, self.attribute.split("."), importlib.import_module(self.module))

    def fact(self, key: str, default: Any = None) -> Any:
        """A fact of the class body; a third-party class is imported for it. Raises UsageError if that fails."""
        if self.facts:
            return self.facts.get(key, default)
        try:
            return getattr(self.load(), key, default)
        except (Exception, SystemExit) as error:
            problem = f"{self.name!r} cannot be imported from {self.module} ({type(error).__name__}: {error})"
            raise UsageError(f"{problem}; fix or uninstall it, or leave it out with --exclude") from error


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
        points = [point for point in entry_points(group=self.group) if _NAME.fullmatch(point.name)]
        return {point.name: _from_entry_point(point) for point in points}

    def __iter__(self) -> Iterator[Plugin]:
        return iter((self.builtin | self.third_party | self.extra).values())

    def add_file(self, path: Path) -> list[Plugin]:
        """Register and return the plugins of this kind in a file, which is imported once one of them is used.

        Raises UsageError if the file does not exist or a name in it is not valid.
        """
        if not path.is_file():
            raise UsageError(f"no plugin file {path}")
        plugins = read_plugins(path.resolve(), f"dvae_bench_plugin_{abs(hash(path.resolve()))}_{path.stem}")
        found = [plugin for plugin in plugins if _kind(plugin.facts) == self.kind]
        for plugin in found:
            if not _NAME.fullmatch(plugin.name):
                raise UsageError(
                    f"{path}: {plugin.name!r} is not a valid name; use letters, digits, '+', '.', '_' and '-'"
                )
        self.extra.update({plugin.name: plugin for plugin in found})
        return found

    def find(self, family: str) -> Plugin:
        """The plugin with this name or alias. Raises UsageError with the three nearest names."""
        plugins = {plugin.name: plugin for plugin in self}
        aliases = {alias: p for p in plugins.values() for alias in p.facts.get("aliases", ())}
        if family not in plugins | aliases:
            raise UsageError(f"unknown {self.kind} {family!r}{nearest(family, plugins | aliases)}")
        return (aliases | plugins)[family]

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
        return [Name.canonical(plugin.name, rules, name.values) for name in Sweep(plugin.name, checked).names()]

    def select(self, patterns: Iterable[str]) -> list[Name]:
        """Canonical names of `all`, a word, globs on names, and `name:key=value` with sweeps, in order, once each."""
        names: dict[Name, None] = {}
        for pattern in patterns:
            family, colon, rest = pattern.partition(":")
            if pattern == "all" or any(c in family for c in "*?["):
                families = [p.name for p in self if pattern == "all" or fnmatch.fnmatchcase(p.name, family)]
                if not families:
                    raise UsageError(f"no {self.kind} matches {family!r}{nearest(family, (p.name for p in self))}")
            elif family in self.words:
                families = [plugin.name for plugin in self if self.words[family](plugin)]
            else:
                families = [family]
            for each in families:
                names |= dict.fromkeys(self.variants(Sweep.parse(each + colon + rest)))
        return list(names)


def matches(name: Name, pattern: str) -> bool:
    """Whether an exclusion matches a name: as a glob on its family, or as the whole name."""
    return fnmatch.fnmatchcase(name.family, pattern) or str(name) == pattern


def heads(source: str) -> ast.Module:
    """Parse a source without its methods, in a quarter of the time: facts and docstrings are all kept."""
    try:
        return ast.parse(_STRING_OR_METHOD.sub(lambda m: f"{m['indent']}pass\n" if m["indent"] else m[0], source))
    except SyntaxError:
        return ast.parse(source)


def read_plugins(path: Path, module: str, parse: Callable[[str], ast.Module] = ast.parse) -> list[Plugin]:
    """The classes of a source file that have a literal `name`, with their literal facts and docstrings.

    Raises UsageError if the file is not Python.
    """
    found = []
    try:
        tree = parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not Python ({error}); fix it or leave out --plugin") from error
    about = (ast.get_docstring(tree) or "").split("\n")[0]
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        facts = {t.id: v for t, v in map(_assignment, node.body) if t is not None}
        if isinstance(facts.get("name"), str):
            facts |= {"about": about, "doc": ast.get_docstring(node) or ""}
            found.append(Plugin(facts["name"], path.parent.name, module, node.name, path, facts))
    return found


def _kind(facts: Mapping[str, Any]) -> str:
    """The kind of a class from a file, by a fact that only this kind has."""
    if "latents" in facts:
        return "estimator"
    return "collector" if "source" in facts else "task"


def _assignment(statement: ast.stmt) -> tuple[ast.Name | None, Any]:
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign):
        target = statement.targets[0]
    else:
        return None, None
    if not isinstance(target, ast.Name) or statement.value is None:
        return None, None
    try:
        return target, ast.literal_eval(statement.value)
    except ValueError:
        return None, None


def _module_name(path: Path) -> str:
    return ".".join(("dvae_bench", *path.relative_to(_ROOT).with_suffix("").parts))


def _from_entry_point(point: EntryPoint) -> Plugin:
    return Plugin(point.name, "third-party", point.module, point.attr)


TOY_SOURCES = ("draws", "clock")
"""`Task.sources` of a task that states none, which is a toy."""


def _is_toy(task: Plugin) -> bool:
    return "draws" in task.fact("sources", TOY_SOURCES)


ESTIMATORS = Registry("estimator", _ROOT / "estimators", "dvae_bench.estimators")
TASKS = Registry("task", _ROOT / "tasks", "dvae_bench.tasks", {"toy": _is_toy, "vae": lambda task: not _is_toy(task)})
COLLECTORS = Registry("collector", _ROOT / "bench" / "collectors", "dvae_bench.collectors")
