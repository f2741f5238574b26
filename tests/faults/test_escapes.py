"""Text of strangers in every format that is written: LaTeX, Markdown, csv, the terminal, JUnit, figures."""

from __future__ import annotations

import csv as reader
import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from command_line import Command
from dvae_bench.bench import escapes
from dvae_bench.bench.compare import Run
from dvae_bench.bench.compare.comparison import compare
from dvae_bench.bench.compare.show import junit, markdown
from dvae_bench.bench.report.figures.bias import plot
from dvae_bench.bench.report.figures.style import style
from dvae_bench.bench.report.figures.write import write_figures
from dvae_bench.bench.report.rows import prepare
from dvae_bench.bench.report.tables.table import Table
from dvae_bench.bench.report.view import View
from dvae_bench.bench.rows import COLUMNS, Row, outcome, row
from dvae_bench.bench.store.store import Store
from hypothesis import strategies as st
from matplotlib.text import Text

from .conftest import FUZZED, fuzz

ESC, OSC = "\x1b[31mred", "\x1b]0;title\x07"
NASTY = rf"{OSC}\input{{x}}^^41~|<b>[a](http://b)`$x$"


def table(*names: str) -> Table:
    frame = pd.DataFrame({"task": list(names), "reason": ["–"] * len(names)}, dtype=object)
    return Table("toys", "Caption.", frame, frame)


class TestLatex:
    def test_a_caption_holds_no_command(self) -> None:
        """Over 40 lines, each task has a table of its own, and its name is in the caption."""
        name = r"\input{/etc/passwd}^^5cinput~%$#_&"
        text = table(*[name] * 41).latex()
        assert "\\input" not in text and "^^" not in text and "~%" not in text
        assert (
            r"\textbackslash input\{/etc/passwd\}\textasciicircum \textasciicircum 5cinput\textasciitilde \%\$\#\_\&"
            in text
        )
        assert text.count(r"As table~\ref{tab:toys}: ") == 1

    def test_no_line_begins_with_an_option_of_the_last(self) -> None:
        for name, set_as in (("[2cm]", "{[}2cm]"), ("*", "{*}")):
            frame = pd.DataFrame({"estimator": [name], "reason": ["–"]}, dtype=object)
            assert f"\n{set_as} " in Table("toys", "Caption.", frame, frame).latex()

    def test_plain_text_stays_as_it_is(self) -> None:
        plain = "0.31 [0.30, 0.32] – (×2, “heavy”): µs, a/b=c;d!"
        assert (
            escapes.latex(plain) == plain
            and escapes.latex("σ\n ≤ 中") == r"\ensuremath{\sigma}  \ensuremath{\le} ?"
            and escapes.latex("a^ b") == (r"a\textasciicircum\space b")
        )


class TestMarkdown:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a|b", r"a\|b"),
            ("<img src=x>", r"\<img src=x>"),
            ("[a](http://b)", r"[a]\(http://b)"),
            ("![a][b]", r"![a]\[b]"),
            ("**a** _b_ `c` ~~d~~ $e$", r"\*\*a\*\* \_b\_ \`c\` \~\~d\~\~ \$e\$"),
            ("&lt;", r"\&lt;"),
            (r"\|", r"\\\|"),
            ("a\n\n# b\x1b", "a  # b?"),
        ],
    )
    def test_markup_is_shown(self, text: str, shown: str) -> None:
        assert escapes.markdown(text) == shown and shown in table(text).markdown()

    @pytest.mark.parametrize(
        "text", ["rloo:n=4,x_y=.5", "0.31 [0.30, 0.32] (heavy)", "a < 3 & b > 2", "C:\\x", "1e-05"]
    )
    def test_plain_text_stays_as_it_is(self, text: str) -> None:
        assert escapes.markdown(text) == text


class TestCsv:
    @pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
    def test_no_cell_is_a_formula(self, text: str) -> None:
        cell = next(reader.reader(io.StringIO(table(text).csv().partition("\n")[2])))[0]
        assert cell.startswith("'") and cell[1:] == text.replace("\r", "\n")

    def test_numbers_and_plain_text_stay_as_they_are(self) -> None:
        frame = pd.DataFrame({"a": [-1.5], "b": ["x-1"], "c": ["–"]})
        assert Table("t", "", frame, frame.astype(str)).csv() == "a,b,c\n-1.5,x-1,–\n"

    def test_a_carriage_return_ends_no_line(self) -> None:
        assert len(pd.read_csv(io.StringIO(table("a\rb", "c\r\nd").csv()))) == 2


@FUZZED
def test_any_text_is_harmless_in_every_format(examples: int) -> None:
    def check(text: str) -> None:
        shown = escapes.terminal(text)
        assert not any((ord(x) < 32 and x not in "\n\t") or 127 <= ord(x) < 160 for x in shown)
        line = re.sub(r"\\ensuremath\{\\[A-Za-z]+\}", "", escapes.latex(text))
        for known in ("textbackslash", "textasciitilde", "textasciicircum", "space"):
            line = line.replace(f"\\{known}", "")
        for letter in "&%$#_{}":
            line = line.replace(f"\\{letter}", "")
        assert not set(line.replace("{[}", "").replace("{*}", "")) & set("\\^~&%$#_{}") and "\n" not in line
        ET.fromstring(ET.tostring(ET.Element("a", name=escapes.xml(text))))
        assert "\n" not in escapes.markdown(text) and "\n" not in escapes.figure(text)

    fuzz(examples, st.text() | st.text("\\^~&%$#_{}[]*`<>|\x1b\r\n \t'=+-@"), check)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of a stranger, whose second is worse in what it counts and failed in another cell."""
    stores = Store(tmp_path / "base"), Store(tmp_path / f"new{ESC}")
    for store, count in zip(stores, (1.0, 2.0), strict=True):
        store.write_context({"started": f"2026{OSC}", "git": {"commit": ESC}})
        store.write("a", "ok", {}, [of(NASTY, row("evaluations", count, 1))])
        status = "ok" if count == 1 else "error"
        store.write("b", status, {}, [of(ESC, outcome(status, f"{NASTY}\n{OSC}") if count > 1 else row("m", 1.0, 1))])
    return stores[0].folder, stores[1].folder


def of(name: str, measured: Row) -> Row:
    blank = dict.fromkeys(COLUMNS)
    return blank | {"estimator": name, "task": f"task {NASTY}", "source": "draws", "seed": 0, "data": ""} | measured


class TestCommands:
    def test_compare_prints_no_escape_sequence(self, folders: tuple[Path, Path], command: Command) -> None:
        ended = command("compare", *folders)
        assert "?]0;title?" in ended.out and "2 worse" in ended.out and harmless(ended.out)
        ended = command("compare", folders[0], folders[1] / "nowhere")
        assert ended.refused("?[31mred") and harmless(ended.err)

    def test_history_prints_no_escape_sequence(self, folders: tuple[Path, Path], command: Command) -> None:
        ended = command("history", "evaluations", *folders)
        assert ended.code == 0 and "?]0;title?" in ended.out and harmless(ended.out)

    def test_report_and_merge_print_no_escape_sequence(
        self, folders: tuple[Path, Path], command: Command, no_figures: None
    ) -> None:
        (folders[1] / "cells" / f"{OSC}.parquet").write_bytes(b"")
        ended = command("report", folders[1])
        assert ended.code == 0 and harmless(ended.out + ended.err) and "left out, damaged" in ended.err
        assert command("merge", folders[0], folders[1]).refused("?]0;title?")

    def test_the_files_of_compare_hold_no_markup(self, folders: tuple[Path, Path]) -> None:
        comparison = compare(*map(Run.open, folders), lambda _: "one look only")
        text = markdown(comparison, *map(str, folders))
        assert harmless(text) and r"\<b>" in text and "<b>" not in text.replace(r"\<b>", "") and "](" not in text
        cases = list(ET.fromstring(junit(comparison)))
        assert len(cases) == 2 and all("?]0;title?" in case.attrib["classname"] for case in cases)


def harmless(text: str) -> bool:
    return not any(ord(letter) < 32 and letter != "\n" for letter in text)


def test_a_name_is_no_formula_of_a_figure(tmp_path: Path) -> None:
    """An unknown command of mathtext raises; here it is a name like any other."""
    rows, shared = [], dict.fromkeys(COLUMNS) | {"source": "draws", "group": "cut", "status": "ok", "seed": 0, "n": 9}
    for name, p in ((r"$\nonsense{$", 1e-9), ("$x$", 0.5)):
        cell = {
            "estimator": name,
            "task": r"$\frac$",
            "source": "draws",
            "group": "cut",
            "status": "ok",
            "seed": 0,
            "n": 9,
        }
        for metric, value in (("bias_rel", 0.3), ("bias_p", p), ("bias_sdb", 0.1), ("var_total", 2.0)):
            rows.append(shared | cell | {"metric": metric, "value": value, "lo": 0.2, "hi": 2.5})
    files, notes = write_figures(pd.DataFrame(rows), tmp_path, ["bias"])
    assert not notes and len(files) == 3
    with style():
        assert not any(text.get_parse_math() for text in plot(prepare(pd.DataFrame(rows)), View()).findobj(Text))
