"""What a run prints: one line per measured cell elsewhere, a bar on a terminal, and the answers in at most 40 lines."""

from __future__ import annotations

import io
import json
import os
import platform
import re
from pathlib import Path

import pandas as pd
import pytest
from command_line import Command
from dvae_bench.bench.report.answers import FOOTNOTE, Answer, contradicted, footnotes, shortened
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.run import progress_file, screen
from dvae_bench.bench.run.progress_file import NAME, ProgressFile, read_state
from dvae_bench.commands import execution
from dvae_bench.estimators.names import UsageError
from rich.console import Console

RUN = ["run", "-e", "rloo", "-e", "disarm", "-e", "reinforce", "-t", "bit-table", "-t", "category-table"]
pytestmark = pytest.mark.usefixtures("tiny_presets", "no_figures", "no_page")


def test_elsewhere_a_line_per_measured_cell_and_then_the_answers(command: Command, tmp_path: Path) -> None:
    ended = command(*RUN, "-o", tmp_path)
    lines = ended.out.splitlines()
    measured = [line for line in lines if re.match(r"\[\d+/10\] done ", line)]
    assert len(measured) == 10 and "\x1b" not in ended.out
    after = lines[lines.index(measured[-1]) + 1 :]
    assert len(after) <= 40 and not any("verdict" in line for line in after), "the tables are in the files"
    assert any(re.match(r"bit-table, bernoulli \d +least error ", line) for line in after)
    assert any(line.strip().startswith("of the unbiased") for line in after)
    assert f"page: {tmp_path / 'index.html'}" in after and FOOTNOTE in after
    assert command("status", tmp_path).out == "10 of 10 cells done, 0 failed\nfinished\n"


def test_on_a_terminal_a_bar_the_first_answers_after_the_toys_and_a_link(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(screen, "console", lambda: Console(file=shown, force_terminal=True, width=100, highlight=False))
    assert command(*RUN, "-o", tmp_path).code == 0
    text = shown.getvalue()
    assert not re.search(r"\] done .* s\)$", text, re.MULTILINE), "a cell that ended well is no line of its own"
    assert re.search(r"\w+ on \w+-table, (draws|clock)", text) and " left" in text
    assert text.count("of the unbiased") == 4, "both tasks, once the draws are done and at the end"
    assert text.count("]8;") and (tmp_path / "index.html").absolute().as_uri() in text


def test_without_a_report_there_is_none(command: Command, tmp_path: Path) -> None:
    ended = command("run", "-e", "rloo", "-t", "bit", "-o", tmp_path, "--no-report")
    assert ended.code == 0 and "cells: 2 ok" in ended.out and "page:" not in ended.out
    assert not (tmp_path / "tables").exists()


def test_a_table_is_printed_in_full(command: Command, tmp_path: Path) -> None:
    command("run", "-e", "rloo", "-t", "bit", "-o", tmp_path, "--no-report")
    ended = command("table", tmp_path, "toys")
    assert ended.code == 0 and "rloo" in ended.out and "Verdicts: Holm's test" in ended.out
    assert command("table", tmp_path, "toy").refused("no table 'toy'", "toys")
    assert command("table", tmp_path, "training").refused("is empty")


def test_the_lists_of_presets_and_support(command: Command) -> None:
    assert re.search(r"quick +a first look at every estimator", command("list", "presets").out)
    assert {each["name"] for each in json.loads(command("list", "presets", "--json").out)} >= {"quick", "standard"}
    lines = command("list", "support").out.splitlines()
    assert lines[0].split() == ["bernoulli", "categorical", "subset", "sequence", "continuous", "encodings"]
    assert next(line for line in lines if line.startswith("disarm ")).split()[1:] == ["yes", *5 * ["–"]]
    assert any(line.startswith("encodings tasks") and "vq-table" in line for line in lines)
    assert json.loads(command("list", "support", "--json").out)["estimators"]["disarm"] == ["bernoulli"]


def test_more_jobs_than_cores_are_warned_of(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "available_cores", lambda: 2)
    arguments = ["run", "-e", "rloo", "-t", "bit", "-o", tmp_path, "--dry-run", "-j"]
    assert "64 jobs share 2 cores" in command(*arguments, 64).err
    assert command(*arguments, 2).err == ""


def test_few_answers_are_of_every_kind() -> None:
    every = [
        Answer(kind, f"{kind} {i}", q, ["a"]) for kind in ("bernoulli", "categorical") for i in range(9) for q in "xy"
    ]
    kept = shortened(every, 6)
    assert [answer.setting for answer in kept] == ["bernoulli 0"] * 2 + ["bernoulli 1"] * 2 + ["categorical 0"] * 2
    assert shortened(every, 99) == every


def test_an_answer_names_three_ties_and_counts_the_rest() -> None:
    assert Answer("", "", "", ["a", "b", "c", "d", "e", "f"], "1").text == "a 1; tied: b, c, d and 2 more"
    assert Answer("", "", "", []).text == "none is shown to be better than no gradient"


def test_contradicted_claims_are_named() -> None:
    cell = {"task": "bit", "data": "", "device": "cpu", "source": "draws", "seed": 0, "group": "cut", "unit": ""}
    cell |= {"reason": "", "status": "ok", "step": 0, "lo": float("nan"), "hi": float("nan")}
    rows = [
        cell | {"estimator": name, "metric": metric, "value": value}
        for name, claims, p in (("honest", 1, 0.5), ("wrong", 1, 1e-12), ("biased", 0, 1e-12))
        for metric, value in (("claims_unbiased", claims), ("bias_p", p))
    ]
    (said,) = contradicted(prepare(pd.DataFrame(rows)))
    assert said.startswith("wrong on bit, group cut: ")


def test_labels_have_a_key() -> None:
    (key,) = footnotes(["mnist-vae:arch=categorical", "bit"])
    assert "20 variables of 10 classes" in key and footnotes(["bit"]) == []


class TestStatus:
    def test_a_run_that_goes_on_or_was_stopped(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cells").mkdir()
        ProgressFile(tmp_path).write(9, 4, 1, ["rloo on bit, draws"], 240.0, ended=False)
        said = "4 of 9 cells done, 1 failed\nrunning, about 4 min left: rloo on bit, draws\n"
        assert command("status", tmp_path).out == said
        monkeypatch.setattr(progress_file.os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError))
        assert command("status", tmp_path).out.splitlines()[1].startswith("stopped, about 4 min left")

    def test_it_is_written_once_a_second(self, tmp_path: Path) -> None:
        file = ProgressFile(tmp_path)
        for done in range(3):
            file.write(3, done, 0, [], 0.0, ended=False)
        state = read_state(tmp_path)
        assert state is not None and (state.done, state.process, state.machine) == (0, os.getpid(), platform.node())
        file.write(3, 3, 0, [], 0.0, ended=True)
        assert read_state(tmp_path) == progress_file.State(3, 3, machine=platform.node())

    @pytest.mark.parametrize("text", ["{", "[]", '{"what": 1}', '{"done": "x"}', '{"running": 3}'])
    def test_a_damaged_file_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / NAME).write_text(text)
        with pytest.raises(UsageError, match=NAME):
            read_state(tmp_path)

    def test_a_folder_without_a_plan(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "cells").mkdir()
        assert "0 cells stored" in command("status", tmp_path).out
