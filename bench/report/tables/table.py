"""A table: its numbers at full precision for csv, its text for Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ...escapes import csv, latex, markdown, typesettable
from ...store.files import remove_file, replace_file
from ..numbers import MISSING

_ON_A_PAGE = 40  # lines
_LONG, _WRAPPED = 44, 190.0  # characters; the width in points of the LaTeX column for longer cells
_COLUMN, _PAGE = 229.0, 345.0  # points: \\linewidth of a two-column article, and of a one-column one
_LETTER, _BETWEEN = 4.9, 12.0  # points at \\small, on the safe side; and between two columns
_INTERVAL = re.compile(r" [\[(].*")
_CUT = "Intervals and columns that have no room here are in the csv file."


@dataclass(frozen=True)
class Table:
    """`numbers` for csv, `text` (all strings) for Markdown and LaTeX; the caption says what brackets mean.

    bold: column of `text` -> which of its lines are bold. key: the columns that LaTeX shows as far as there is room,
    the most important first; () for all.
    """

    name: str
    caption: str
    numbers: pd.DataFrame
    text: pd.DataFrame
    bold: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    key: Sequence[str] = ()

    def write(self, folder: Path) -> list[Path]:
        """Write name.csv, name.md, name.tex below `folder`, or only remove older ones if the table is empty.

        Neither is done through a link at `folder`. Raises Unwritable.
        """
        files = {".csv": self.csv, ".md": self.markdown, ".tex": self.latex}
        paths = [folder / f"{self.name}{ending}" for ending in files]
        for path, render in zip(paths, files.values(), strict=True):
            if len(self.text):
                replace_file(path, render().encode(), folder.parent)
            else:
                remove_file(path, folder.parent)
        return paths if len(self.text) else []

    def csv(self) -> str:
        numbers = self.numbers.map(lambda value: csv(value) if isinstance(value, str) else value)
        return numbers.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        text = self.text.map(markdown)
        for column, bold in self.bold.items():
            text[column] = [f"**{cell}**" if best else cell for cell, best in zip(text[column], bold, strict=True)]
        table = text.to_markdown(index=False, disable_numparse=True)
        return f"{markdown(self.caption)}\n\n{table}\n"

    def latex(self) -> str:
        """booktabs tables at \\small within \\linewidth, one per task; those wider than a column span the page."""
        parts: list[str] = []
        for place, lines in self._places():
            for start in range(0, len(lines), _ON_A_PAGE):
                label = f"tab:{self.name}" + (f"-{len(parts) + 1}" if parts else "")
                where = f"{latex(place)}." if place else ""
                caption = f"As table~\\ref{{tab:{self.name}}}: {where}" if parts else f"{where} {latex(self.caption)}"
                parts.append(self._part(lines[start : start + _ON_A_PAGE], caption, label))
        return "% \\usepackage{booktabs}\n" + "\n".join(parts)

    def _places(self) -> list[tuple[str, list[int]]]:
        """Each task with its lines; all lines together in a table without tasks."""
        if "task" not in self.text:
            return [("", list(range(len(self.text))))]
        tasks: list[str] = self.text["task"].tolist()
        return [(place, [i for i, other in enumerate(tasks) if other == place]) for place in dict.fromkeys(tasks)]

    def _part(self, lines: list[int], caption: str, label: str) -> str:
        """These lines of one task as one table, with the columns and intervals that have room."""
        text = self.text.iloc[lines].drop(columns="task", errors="ignore")
        text = text[[name for name in self.key if name in text] or text.columns.tolist()]
        text = text.loc[:, (text != MISSING).any()]
        fitting = _fitted(text)
        if not fitting.equals(text):
            caption = f"{caption} {_CUT}"
        styler = fitting.map(latex).rename(columns=latex).style.hide(axis="index")
        for column in fitting.columns.intersection(list(self.bold)):
            styler = styler.apply(_bold, subset=[latex(column)], bold=[self.bold[column][line] for line in lines])
        columns = [f"p{{{_WRAPPED:g}pt}}" if _longest(fitting[name]) > _LONG else "l" for name in fitting]
        tabular = styler.to_latex(convert_css=True, hrules=True, column_format="".join(columns))
        floating = "table*" if _width(fitting) > _COLUMN else "table"
        return (
            f"\\begin{{{floating}}}\n\\centering\\small\n\\caption{{{caption.strip()}}}\n\\label{{{label}}}\n"
            f"{tabular}\\end{{{floating}}}\n"
        )


def _fitted(text: pd.DataFrame) -> pd.DataFrame:
    """The text without the last intervals and then the last columns, until it fits \\linewidth."""
    text = text.copy()
    for name in reversed(text.columns[1:]):
        if _width(text) > _PAGE and _longest(text[name]) <= _LONG:
            text[name] = [_INTERVAL.sub("", cell) for cell in text[name]]
    while _width(text) > _PAGE and text.shape[1] > 1:
        text = text.iloc[:, :-1]
    return text


def _width(text: pd.DataFrame) -> float:
    """Points at \\small, estimated from the letters."""
    longest = [max(_longest(text[name]), len(str(name))) for name in text]
    return sum(_BETWEEN + (_WRAPPED if letters > _LONG else _LETTER * letters) for letters in longest) - _BETWEEN


def _longest(column: pd.Series) -> int:
    return int(column.map(typesettable).str.len().max())


def _bold(column: pd.Series, bold: Sequence[bool]) -> list[str]:
    return ["font-weight: bold" if best else "" for best in bold]


def informative(text: pd.DataFrame) -> pd.DataFrame:
    """Without the data column if no line has data, and without the device column if there is only one device."""
    same = [("data", not text["data"].any()), ("device", text["device"].nunique() < 2)]
    return text.drop(columns=[column for column, drop in same if drop]).replace("", MISSING)


def one_line(text: str, most: int = 160) -> str:
    """A reason, or the last line of a traceback, as one line that fits into a table."""
    if text.startswith("Traceback"):
        text = text.strip().splitlines()[-1]
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
