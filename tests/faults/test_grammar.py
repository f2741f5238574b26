"""Names, parameters and protocol files from anywhere are read as meant, or refused in one sentence."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import Command
from dvae_bench.bench import protocols
from dvae_bench.bench.compare.runs import StoredCell
from dvae_bench.bench.compare.second_look import _as_cell
from dvae_bench.bench.page.leaderboard import leaderboard
from dvae_bench.bench.protocols.scale import Scale, trials
from dvae_bench.bench.report import Study
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.report.view import View
from dvae_bench.bench.rows import COLUMNS
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Plugin, Registry
from hypothesis import strategies as st
from tiny import one_cell

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


MANY = ",".join(f"k{i}={{0,1}}" for i in range(40))
MANY_BITS = "bit:d={" + ",".join(map(str, range(1, 200))) + "},logit={" + ",".join(map(str, range(200))) + "}"


class TestManyVariants:
    """A line of text that stands for 2^40 variants: whatever expanded it would never end."""

    def test_keys_are_checked_before_a_sweep_is_expanded(self, command: Command) -> None:
        assert command("run", "-e", f"rloo:{MANY}").refused("rloo has no parameter 'k0'")
        assert command("check", f"rloo:{MANY}").refused("rloo has no parameter 'k0'")

    def test_a_sweep_has_a_cap(self, command: Command) -> None:
        assert command("run", "-e", "rloo", "-t", MANY_BITS).refused(
            "'bit' is swept over more than 10000 variants", "sweep fewer"
        )
        for text in (f"a:{MANY}", "a:" + ",".join(f"k{i}={{0,1}}" for i in range(20_000))):
            with pytest.raises(UsageError, match="swept over more than 10000 variants"):
                Name.sweep(text)
            with pytest.raises(UsageError, match="names more than 10000 variants"):
                Name.parse(text)

    def test_a_sweep_of_a_protocol_has_the_cap(self) -> None:
        table = tomllib.loads(WHOLE.read_text("utf-8"))
        table["sweep"] = {f"k{i}": [0, 1] for i in range(40)}
        protocol = protocols.from_table(table | {"selection_seeds": [1000]}, "mine")
        with pytest.raises(UsageError, match="swept over more than 10000 variants"):
            trials(protocol, *next(protocol.lines()), Scale(1, 1))

    def test_names_in_rows_are_not_expanded(self) -> None:
        assert Name.stored(f"a:{MANY}") == Name(f"a:{MANY}") and Name.stored("a:n=2") == Name("a", (("n", 2),))
        rows = [
            {"metric": "var_total", "estimator": f"rloo:{MANY}", "task": f"bit:{MANY}"},
            {"metric": "var_total", "estimator": "rloo:n=2,n=3", "task": "bit:logit=many"},
            {"metric": "var_total", "estimator": "rloo:n=2,n=3", "task": "bit:logit=-4000.0"},
        ]
        blank = dict.fromkeys(COLUMNS) | {"source": "draws", "group": "cut", "status": "ok", "seed": 0, "n": 1}
        frame = prepare(pd.DataFrame([blank | {"value": 1.0, "lo": 0.5, "hi": 2.0} | row for row in rows]))
        for name in ("sweeps", "probability"):
            assert isinstance(import_module(f"dvae_bench.bench.report.figures.{name}").plot(frame, View()), str)
        assert {line.task: line.latent for line in leaderboard(Study("run", frame))}[f"bit:{MANY}"] == ""

    def test_a_second_look_does_not_expand_stored_names(self) -> None:
        whole = one_cell().recipe()
        assert not isinstance(_as_cell(StoredCell(whole, "ok", [])), str)
        huge = {"settings": whole["settings"] | {"rows": 10**12}}
        names = [{"estimator": f"rloo:{MANY}"}, {"estimator": "all"}, {"task": f"bit:{MANY}"}, {"task": 3}]
        for odd in (*names, huge, {"settings": 3}, {"threads": 10**6}, {"seed": "x"}, {"device": None}):
            assert str(_as_cell(StoredCell(whole | odd, "ok", []))).startswith("one look only: "), odd
