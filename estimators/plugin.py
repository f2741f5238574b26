"""One plugin: its name, its facts, where it comes from, and how to load its class."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .imported_facts import ask, literal_facts
from .names import UsageError


@dataclass(frozen=True)
class Plugin:
    """One estimator, task or collector.

    facts: those that were read in its source; empty where its class has to be imported for them. package: the
    installed package that it comes from. fault: why it cannot be used, in one sentence.
    """

    name: str
    family: str
    module: str
    attribute: str
    path: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)
    kind: str = ""
    package: str = ""
    fault: str = ""

    @property
    def origin(self) -> str:
        """The file or the installed package that the plugin comes from; "" for a built-in one."""
        if self.module.startswith("dvae_bench."):
            return ""
        return str(self.path) if self.path is not None else self.package or self.module.partition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and aliases; its name alone if it cannot be used."""
        return (self.name, *(() if self.fault else self.facts.get("aliases", ())))

    def load(self) -> Any:
        """Import the class. Raises UsageError if it cannot be used."""
        if self.fault:
            raise UsageError(self.fault)
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
        """A fact of the class body. Raises UsageError where it cannot be had.

        A class of an installed package whose source does not show its facts is imported by another process, so that
        no third-party code runs in this one.
        """
        if self.fault:
            raise UsageError(self.fault)
        if self.facts:
            return self.facts.get(key, default)
        known = self.path is not None or self.module in sys.modules
        try:
            facts = literal_facts(self.load()) if known else ask(self.module, self.attribute)
        except (Exception, SystemExit) as error:
            problem = f"{self.name!r} cannot be imported from {self.module} ({type(error).__name__}: {error})"
            raise UsageError(f"{problem}; fix or uninstall it, or leave it out with --exclude") from error
        if wrong := malformed(facts):
            raise UsageError(f"{self.name!r} of {self.origin}: {wrong}; fix it or leave it out with --exclude")
        object.__setattr__(self, "facts", facts)  # asked once, and sent along to the processes that measure
        return facts.get(key, default)


def malformed(facts: Mapping[str, Any]) -> str:
    """What is wrong with the types of facts; "" if nothing is."""
    for key in ("aliases", "latents", "sources"):
        value = facts.get(key, ())
        if not isinstance(value, tuple | list) or not all(isinstance(each, str) for each in value):
            return f'`{key}` must be a tuple of words, such as ("a",), not {value!r}'
    rules = facts.get("hyperparameters", {})
    if not isinstance(rules, Mapping):
        return f'`hyperparameters` must be a dict of rules, such as {{"n": {{"default": 2}}}}, not {rules!r}'
    for key, rule in rules.items():
        if not isinstance(rule, Mapping) or "default" not in rule:
            return f'the rule of the hyper-parameter {key!r} must be a dict with a "default", not {rule!r}'
        if isinstance(rule.get("max"), str) and rule["max"] not in rules:
            return f'the "max" of the hyper-parameter {key!r} must be a number or another one, not {rule["max"]!r}'
    return ""
