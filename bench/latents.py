"""The latent of a task, from the task's name and facts alone."""

from __future__ import annotations

from functools import cache
from string import Formatter
from typing import Any

from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import TASKS


@cache
def latent_of(task: str) -> str:
    """Such as "categorical 20x10", from the task's fact `layer`; "" if the task is no built-in or misnamed."""
    name = Name.stored(task)
    facts = TASKS.builtin[name.family].facts if name.family in TASKS.builtin else {}
    rules = facts.get("hyperparameters", {})
    values = {key: rule["default"] for key, rule in rules.items()} | name.values
    text = facts.get("layer", "")
    if text in rules:
        text = rules[text]["choices"].get(values[text], "")
    return _Sizes().format(text, **values)


class _Sizes(Formatter):
    """`{n:20}` is n, or 20 where n is 0; `{d:*2}` is twice d."""

    def format_field(self, value: Any, spec: str) -> str:
        return str(value * int(spec[1:]) if spec.startswith("*") else value or spec)
