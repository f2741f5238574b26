"""A hash of the code behind a class: its module and all of ours that it imports, without the text for readers."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path
from typing import TypeGuard

from ... import _HOME

FOR_READERS = ("formula", "layer")
"""Class attributes that only document the code; like docstrings, comments and the "about" of a hyper-parameter, they
change no number."""
ROOT = Path(__file__).resolve().parent.parent.parent


@functools.cache
def fingerprint(path: Path) -> str:
    """The hash of a source file and of every module of this package it imports, directly or indirectly; cached."""
    seen: set[Path] = set()
    todo = [path.resolve()]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(_parse(current)[1])
    return hashlib.sha256("".join(sorted(_parse(p)[0] for p in seen)).encode()).hexdigest()


@functools.cache
def _parse(path: Path) -> tuple[str, tuple[Path, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if _is_for_types(node):
            node.body = [ast.Pass()]  # never imported when code runs; the package's own would bring in all of it
    imported = {found for node in ast.walk(tree) for found in _imports(node, path)}
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[:] = body[1:] or [ast.Pass()]
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                _forget_about(statement)
            node.body[:] = [statement for statement in node.body if not _is_for_readers(statement)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(sorted(imported))


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_docstring(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_for_readers(statement: ast.AST) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in FOR_READERS
    return False


def _forget_about(statement: ast.AST) -> None:
    """Take "about" out of the rules where the statement is `hyperparameters = {name: rule, ...}`."""
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id="hyperparameters")], value=ast.Dict(values=rules))
            | ast.AnnAssign(target=ast.Name(id="hyperparameters"), value=ast.Dict(values=rules))
        ):
            for rule in rules:
                if isinstance(rule, ast.Dict):
                    pairs = zip(rule.keys, rule.values, strict=True)
                    kept = [(key, value) for key, value in pairs if getattr(key, "value", None) != "about"]
                    rule.keys, rule.values = [key for key, _ in kept], [value for _, value in kept]


def _imports(node: ast.AST, path: Path) -> list[Path]:
    if isinstance(node, ast.ImportFrom):
        if node.level:
            base = path.parents[node.level - 1]
        elif (node.module or "").split(".")[0] == "dvae_bench":
            base = ROOT
        else:
            return []
        parts = (node.module or "").split(".") if node.module else []
        base = base.joinpath(*(parts if node.level else parts[1:]))
        return [p for name in node.names for p in _files(_module(base, name.name))] or _files(base)
    if isinstance(node, ast.Import):
        names = (alias.name.split(".") for alias in node.names)
        return [p for parts in names if parts[0] == "dvae_bench" for p in _files(ROOT.joinpath(*parts[1:]))]
    return []


def _module(base: Path, name: str) -> Path:
    """The module of a name imported from `base`: where it is made, if the package has it for everybody."""
    if base == ROOT and name in _HOME:
        return ROOT.joinpath(*_HOME[name].split(".")[1:])
    return base / name


def _files(module: Path) -> list[Path]:
    found = [module.with_suffix(".py"), module / "__init__.py"]
    parent = module.parent.with_suffix(".py")
    return [p for p in (*found, parent) if p.is_file() and p.is_relative_to(ROOT)]
