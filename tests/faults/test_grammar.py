"""Names, parameters and protocol files from anywhere are read as meant, or refused in one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from dvae_bench.bench import protocols
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Plugin, Registry
from hypothesis import strategies as st

from .conftest import FUZZED, fuzz

LIKELY = ["rloo", "bit", "mnist-vae", "all", "toy", "n=", "tau=", ":", ",", "=", "{", "}", "{1,2}", "*", "[", "?"]
LIKELY += ["1", "-.5", "1e999", "nan", "9" * 400, "../../x", "/", "\\", "\0", "\n", "'", '"', "<script>", "$(x)", " "]
TEXTS = st.text(max_size=20) | st.lists(st.sampled_from(LIKELY) | st.characters(codec="utf-8"), max_size=9).map("".join)


def one_sentence(error: UsageError) -> bool:
    return bool(str(error)) and "\n" not in str(error)


@FUZZED
def test_any_text_is_names_or_refused(examples: int) -> None:
    """100,000: about 3 minutes."""

    def check(text: str) -> None:
        try:
            names = Name.sweep(text)
        except UsageError as error:
            assert one_sentence(error)
            return
        for name in names:
            (again,) = Name.sweep(str(name))
            assert str(again) == str(name)

    fuzz(examples, TEXTS, check)


@FUZZED
def test_any_selection_is_known_or_refused(examples: int) -> None:
    """100,000: about 6 minutes."""

    def check(text: str) -> None:
        for registry in (ESTIMATORS, TASKS):
            try:
                names = registry.select([text])
            except UsageError as error:
                assert one_sentence(error)
                continue
            for name in names:
                assert registry.find(name.family).name == name.family and registry.canonical(name) == name

    fuzz(examples, TEXTS, check)


@st.composite
def parameters(draw: st.DrawFn) -> tuple[Registry, Plugin, str, Any]:
    """A plugin, one of its parameters, and a value that it may or may not take."""
    registry = draw(st.sampled_from([ESTIMATORS, TASKS]))
    plugin = draw(st.sampled_from([plugin for plugin in registry if plugin.fact("hyperparameters")]))
    huge = st.integers(300, 400).map(lambda digits: 10**digits)
    value = draw(st.integers() | huge | st.floats() | st.text("abcxyz-._", min_size=1, max_size=6) | TEXTS)
    return registry, plugin, draw(st.sampled_from(sorted(plugin.fact("hyperparameters")))), value


@FUZZED
def test_any_value_of_a_known_parameter_is_taken_or_refused(examples: int) -> None:
    """100,000: about 4 minutes."""

    def check(drawn: tuple[Registry, Plugin, str, Any]) -> None:
        registry, plugin, key, value = drawn
        try:
            name = registry.canonical(Name(plugin.name, ((key, value),)))
        except UsageError as error:
            assert one_sentence(error)
            return
        assert registry.canonical(Name.parse(str(name))) == name

    fuzz(examples, parameters(), check)


WHOLE = protocols.FOLDER / "reinmax-2023.toml"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "split", "n"]) | TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, table: dict[str, Any]) -> dict[str, Any]:
    """A protocol with some keys gone, put in, or holding something else."""
    table = {key: value for key, value in table.items()}
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from([*table, "methods", "sweep", "nonsense"]))
        if draw(st.booleans()):
            table[key] = draw(VALUES)
        else:
            table.pop(key, None)
    if isinstance(table.get("methods"), list) and table["methods"] and draw(st.booleans()):
        place = draw(st.integers(0, len(table["methods"]) - 1))
        method = table["methods"][place]
        if isinstance(method, dict):
            method = method | {draw(st.sampled_from([*method, "published", "values"])): draw(VALUES)}
        table["methods"] = [*table["methods"][:place], method, *table["methods"][place + 1 :]]
    return table


@FUZZED
def test_any_table_is_a_protocol_or_refused(examples: int) -> None:
    """100,000: about 5 minutes."""
    whole = tomllib.loads(WHOLE.read_text("utf-8"))

    def check(table: dict[str, Any]) -> None:
        try:
            protocol = protocols.from_table(table, "mine")
        except UsageError as error:
            assert one_sentence(error)
            return
        assert protocol.length > 0
        for method, setting in protocol.lines():
            assert isinstance(method.estimator, str) and isinstance(method.value(setting), float)

    fuzz(examples, changed(whole), check)


@FUZZED
def test_any_bytes_are_a_protocol_file_or_refused(examples: int, tmp_path: Path) -> None:
    """100,000: about 4 minutes."""
    whole, path = WHOLE.read_bytes()[:600], tmp_path / "mine.toml"

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        content = bytearray(whole)
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, len(content)))
            content[place : place + draw(st.integers(0, 20))] = draw(st.binary(max_size=8) | TEXTS.map(str.encode))
        return bytes(content)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            protocols.load(str(path))
        except UsageError as error:
            assert one_sentence(error)

    fuzz(examples, damaged(), check)


@pytest.mark.parametrize("name", ["../protocols/reinmax-2023", "../../x", "/etc/passwd", "", ".", "..", "a\0b"])
def test_a_protocol_name_is_no_path(name: str) -> None:
    with pytest.raises(UsageError, match="no protocol is called"):
        protocols.load(name)
