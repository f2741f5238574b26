"""Names with parameters, `rloo:n=4` or `gumbel-softmax:tau={.1,.5}`, one grammar for estimators and tasks. No torch."""

from __future__ import annotations

import difflib
import itertools
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_VARIANTS = 10_000
"""How many variants one name with a sweep may stand for."""


class UsageError(ValueError):
    """Bad input from the user; the message is one sentence that names the fix, on one line. The CLI exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Unsupported(Exception):
    """This estimator cannot handle that latent or objective; the message is the reason."""


@dataclass(frozen=True)
class Name:
    """A family and its parameters as given; its string is the identity shown in every table."""

    family: str
    params: tuple[tuple[str, Any], ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Name:
        """The one name that a text stands for. Raises UsageError on a sweep, which it never expands."""
        asked = Sweep.parse(text)
        if asked.size > 1:
            raise UsageError(f"{text!r} names {asked.count} variants; give one value for each parameter here")
        return asked.names()[0]

    @classmethod
    def stored(cls, text: str) -> Name:
        """The name in a stored row. Rows may come from anyone: a text that names no variant is a family by itself."""
        try:
            return cls.parse(text)
        except UsageError:
            return cls(text)

    @classmethod
    def sweep(cls, text: str) -> list[Name]:
        """Every variant that a text stands for: `a:x={1,2}` is `a:x=1` and `a:x=2`."""
        return Sweep.parse(text).names()

    @classmethod
    def canonical(cls, family: str, rules: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> Name:
        """The name with these values of its parameters, sorted by key, defaults left out."""
        return cls(family, tuple((k, v) for k, v in sorted(values.items()) if v != rules[k]["default"]))

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.params)

    def __str__(self) -> str:
        params = ",".join(f"{key}={value}" for key, value in self.params)
        return f"{self.family}:{params}" if params else self.family


@dataclass(frozen=True)
class Sweep:
    """A family and the values of each parameter, not expanded: a short text can stand for millions of variants."""

    family: str
    choices: Mapping[str, Sequence[Any]]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """What a text asks for. Raises UsageError when it is malformed."""
        family, _, rest = map(str.strip, text.partition(":"))
        choices: dict[str, list[Any]] = {}
        parts = re.findall(r"[^,{}]+(?:\{[^{}]*\}\s*)?", rest)
        if ",".join(parts) != rest:
            raise UsageError(f"{text!r}: write parameters as name:key=value,key=value and a sweep as key={{1,2}}")
        for part in parts:
            key, _, value = map(str.strip, part.partition("="))
            if not key or not value:
                raise UsageError(f"{text!r}: write parameters as name:key=value,key=value (got {part!r})")
            values = value[1:-1].split(",") if value.startswith("{") else [value]
            if not all(map(str.strip, values)) or "{" in value[1:]:
                raise UsageError(f"{text!r}: write a sweep as {{1,2}}, no value left empty (got {part!r})")
            if key in choices:
                raise UsageError(f"{text!r} gives {key!r} twice; write a sweep as {{1,2}}")
            choices[key] = [_literal(v.strip()) for v in values]
        return cls(family, choices)

    @property
    def size(self) -> int:
        """How many variants it stands for."""
        return math.prod(map(len, self.choices.values()))

    @property
    def count(self) -> str:
        """`size` for a sentence: a long text gives a number that Python refuses to print."""
        return str(self.size) if self.size <= MOST_VARIANTS else f"more than {MOST_VARIANTS}"

    def names(self) -> list[Name]:
        """Every variant, the last parameter varying fastest. Raises UsageError when there are over MOST_VARIANTS."""
        if self.size > MOST_VARIANTS:
            raise UsageError(f"{self.family!r} is swept over {self.count} variants; sweep fewer parameters or values")
        combinations = itertools.product(*self.choices.values())
        return [Name(self.family, tuple(sorted(zip(self.choices, values, strict=True)))) for values in combinations]


def _literal(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def check_value(owner: str, rules: Mapping[str, Mapping[str, Any]], key: str, value: Any) -> Any:
    """`value` in the type of its default, if its rule allows it.

    A rule is a literal: {"default": 2, "min": 2}, {"default": .5, "above": 0}, {"default": "a", "choices": (...)},
    where choices may be a dict to what each of them means. Its "about" describes the parameter. A "max" may be the name
    of another parameter, which `check_together` compares.
    Raises UsageError, which names the nearest keys or the range.
    """
    if key not in rules:
        known = ", ".join(rules) or "none"
        raise UsageError(f"{owner} has no parameter {key!r}{nearest(key, rules)}; its parameters: {known}")
    rule = rules[key]
    kind = type(rule["default"])
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    fits = (
        isinstance(value, kind)
        and (kind is not float or math.isfinite(value))
        and value in rule.get("choices", (value,))
        and ("min" not in rule or value >= rule["min"])
        and ("max" not in rule or isinstance(rule["max"], str) or value <= rule["max"])
        and ("above" not in rule or value > rule["above"])
        and ("below" not in rule or value < rule["below"])
    )
    if not fits:
        raise UsageError(f"{owner}: {key} must be {allowed(rule)}, got {value!r}")
    return value


def check_together(owner: str, rules: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every parameter of `rules`, by default its default. values: checked one by one.

    Raises UsageError for one above another that is its "max".
    """
    found = {key: rule["default"] for key, rule in rules.items()} | dict(values)
    for key, rule in rules.items():
        limit = rule.get("max")
        if isinstance(limit, str) and found[key] > found[limit]:
            got = f"{key}={found[key]} with {limit}={found[limit]}"
            raise UsageError(f"{owner}: {key} must be at most {limit}, got {got}")
    return found


def resolve(owner: str, rules: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every parameter of `rules`: the given one, checked, or the default."""
    given = {key: check_value(owner, rules, key, value) for key, value in values.items()}
    return check_together(owner, rules, given)


def allowed(rule: Mapping[str, Any]) -> str:
    """The values that a rule allows, in words: `a whole number >= 2`."""
    if "choices" in rule:
        return "one of " + ", ".join(map(str, rule["choices"]))
    kind = type(rule["default"])
    words = {int: "a whole number", float: "a number", str: "a word"}.get(kind, kind.__name__)
    bounds = {"min": ">=", "above": ">", "max": "<=", "below": "<"}
    limits = " and ".join(f"{sign} {rule[key]}" for key, sign in bounds.items() if key in rule)
    return f"{words} {limits}".strip()


def nearest(text: str, known: Iterable[str]) -> str:
    """`; nearest: a, b, c`, or "" if nothing is known."""
    close = difflib.get_close_matches(text, list(known), n=3, cutoff=0)
    return f"; nearest: {', '.join(close)}" if close else ""
