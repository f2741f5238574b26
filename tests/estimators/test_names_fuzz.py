"""Any text is a name or is refused in one sentence, and what is a name reads back as itself."""

from __future__ import annotations

import pytest
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Registry
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.full
REGISTRIES = st.sampled_from([ESTIMATORS, TASKS])
WORDS = st.text("abcxyz-._", min_size=1, max_size=6)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LIKELY = [
    "rloo",
    "bit",
    "n=",
    "tau=",
    ":",
    ",",
    "=",
    "{",
    "}",
    "{1,2}",
    "*",
    "[",
    "1",
    "-.5",
    "1e999",
    "nan",
    "9" * 400,
]
TEXTS = st.text(max_size=20) | st.lists(st.sampled_from(LIKELY) | st.characters(), max_size=9).map("".join)


def refused(error: UsageError) -> None:
    assert str(error) and "\n" not in str(error)


@settings(max_examples=8000, deadline=None)
@given(TEXTS)
def test_any_text_is_names_or_refused(text: str) -> None:
    """About 15 s."""
    try:
        names = Name.sweep(text)
    except UsageError as error:
        refused(error)
        return
    for name in names:
        (again,) = Name.sweep(str(name))
        assert str(again) == str(name)


@settings(max_examples=5000, deadline=None)
@given(WORDS, st.dictionaries(WORDS, NUMBERS | WORDS, max_size=4))
def test_a_name_reads_back_as_itself(family: str, values: dict[str, object]) -> None:
    """About 10 s."""
    name = Name(family, tuple(sorted(values.items())))
    again = Name.parse(str(name))
    assert (again.family, again.values.keys()) == (family, values.keys())
    assert str(again) == str(Name.parse(str(again)))
    for key, value in values.items():
        if not isinstance(value, str):
            assert again.values[key] == value and type(again.values[key]) is type(value)


@settings(max_examples=5000, deadline=None)
@given(REGISTRIES, TEXTS)
def test_any_selection_is_canonical_or_refused(registry: Registry, text: str) -> None:
    """About 15 s."""
    try:
        names = registry.select([text])
    except UsageError as error:
        refused(error)
        return
    for name in names:
        assert registry.select([str(name)]) == [registry.canonical(name)] == [name]


@settings(max_examples=5000, deadline=None)
@given(st.data())
def test_any_value_of_a_known_parameter_is_taken_or_refused(data: st.DataObject) -> None:
    """About 10 s."""
    registry = data.draw(REGISTRIES)
    plugin = data.draw(st.sampled_from([p for p in registry if p.fact("hyperparameters")]))
    key = data.draw(st.sampled_from(sorted(plugin.fact("hyperparameters"))))
    huge = st.integers(300, 400).map(lambda digits: 10**digits)
    value = data.draw(NUMBERS | huge | st.floats() | WORDS | TEXTS)
    try:
        name = registry.canonical(Name(plugin.name, ((key, value),)))
    except UsageError as error:
        refused(error)
        return
    assert registry.canonical(Name.parse(str(name))) == name
