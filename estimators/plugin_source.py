"""Reading plugins in their source with `ast`, so that nothing is imported: their names, facts and kinds."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import _HOME
from .names import UsageError
from .plugin import Plugin

KINDS = {
    "dvae_bench.estimators": "estimator",
    "dvae_bench.tasks": "task",
    "dvae_bench.bench.collectors": "collector",
}
"""The kind of a class by the package that its base class comes from."""
FACTS = {
    *("name", "aliases", "latents", "differentiates", "bound", "hyperparameters", "cost", "reference", "formula"),
    *("source", "sources", "dataset", "version", "layer"),
}
# Strings are matched first, so that a `def` inside a docstring is not taken for a method.
_STRING_OR_METHOD = re.compile(
    r'''("""|\'{3})[\s\S]*?\1|^(?P<indent> +)(?:@.*\n +)*(?:async )?def .*\n(?:(?:(?P=indent)[ )].*)?\n)*''',
    re.MULTILINE,
)


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
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path} is not Python ({error}); fix it or leave out --plugin") from error
    about = (ast.get_docstring(tree) or "").split("\n")[0]
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        facts = {key: value for key, value in _facts(node) if value is not None}
        if isinstance(facts.get("name"), str):
            kind = _kind(node, tree, module) or _kind_by_facts(facts)
            facts |= {"about": about, "doc": ast.get_docstring(node) or ""}
            found.append(Plugin(facts["name"], path.parent.name, module, node.name, path, facts, kind))
    return found


def installed_facts(module: str, attribute: str) -> dict[str, Any]:
    """The facts of a class of an installed package; empty if its source does not show all of them."""
    path = locate(module)
    if path is None:
        return {}
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            facts = dict(_facts(node))
            ours = all(_kind_of_base(base, tree, module) for base in node.bases)
            whole = not any(key in FACTS and value is None for key, value in facts.items())
            if ours and whole and isinstance(facts.get("name"), str):
                about = (ast.get_docstring(tree) or "").split("\n")[0]
                return facts | {"about": about, "doc": ast.get_docstring(node) or ""}
    return {}


def locate(module: str) -> Path | None:
    """The source file of a module, found without importing it or the packages around it."""
    spec, folders = None, None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        finders = (finder.find_spec(".".join(parts[:end]), folders) for finder in sys.meta_path)
        spec = next((found for found in finders if found is not None), None)
        if spec is None:
            return None
        folders = spec.submodule_search_locations
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _kind(node: ast.ClassDef, tree: ast.Module, module: str) -> str:
    """The kind of a class by its bases, directly or by way of other classes of its file."""
    local = {other.name: other for other in tree.body if isinstance(other, ast.ClassDef) and other is not node}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in local:
            rest = ast.Module([other for other in tree.body if other is not node], [])
            kind = _kind(local[base.id], rest, module)
        else:
            kind = _kind_of_base(base, tree, module)
        if kind:
            return kind
    return ""


def _kind_of_base(base: ast.expr, tree: ast.Module, module: str) -> str:
    """The kind of a base class that a file imports from dvae_bench; "" if it is another class."""
    dotted = ast.unparse(base)
    first, _, rest = dotted.partition(".")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*package, *([node.module] if node.module else [])])
            names = {alias.asname or alias.name: alias.name for alias in node.names}
            if first in names:
                home = _HOME.get(names[first], "") if source == "dvae_bench" and not rest else source
                return _kind_of_module(home or f"{source}.{names[first]}")
        if isinstance(node, ast.Import):
            for alias in node.names:
                if first == (alias.asname or alias.name.partition(".")[0]):
                    full = f"{alias.name}.{rest}" if alias.asname else dotted
                    *_, last = full.split(".")
                    return _kind_of_module(_HOME.get(last, "") if full == f"dvae_bench.{last}" else full)
    return ""


def _kind_of_module(module: str) -> str:
    return next((kind for package, kind in KINDS.items() if f"{module}.".startswith(f"{package}.")), "")


def _kind_by_facts(facts: Mapping[str, Any]) -> str:
    """The kind of a class whose bases do not show it, by a fact that only this kind has; "" if there is none."""
    for kind, fact in (("estimator", "latents"), ("collector", "source"), ("task", "sources")):
        if fact in facts:
            return kind
    return ""


def _facts(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """The assignments of a class body and their values; None for what is no literal."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            target: ast.expr = statement.target
        elif isinstance(statement, ast.Assign):
            target = statement.targets[0]
        else:
            continue
        if not isinstance(target, ast.Name) or statement.value is None:
            continue
        try:
            yield target.id, ast.literal_eval(statement.value)
        except ValueError:
            yield target.id, None
