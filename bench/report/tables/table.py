"""A table: its numbers at full precision for csv, its text for Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ...escapes import csv, latex, markdown, typesettable
from ...store.files import remove_file, replace_file
from ..numbers import MISSING

_ON_A_PAGE = 40  # lines
_LONG, _WRAPPED = 60, "p{9cm}"  # characters; the LaTeX column for longer cells


@dataclass(frozen=True)
class Table:
    """`numbers` for csv, `text` (all strings) for Markdown and LaTeX; the caption says what brackets mean.

    bold: column of `text` -> which of its lines are bold.
    """

    name: str
    caption: str
    numbers: pd.DataFrame
    text: pd.DataFrame
    bold: Mapping[str, Sequence[bool]] = field(default_factory=dict)

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
        """booktabs tables no wider than the page; one per value of the first column where a single one is too long."""
        parts: list[str] = []
        for place, lines in self._places():
            for start in range(0, len(lines), _ON_A_PAGE):
                label = f"tab:{self.name}" + (f"-{len(parts) + 1}" if parts else "")
                caption = f"As table~\\ref{{tab:{self.name}}}: {latex(place)}." if parts else latex(self.caption)
                parts.append(self._part(lines[start : start + _ON_A_PAGE], caption, label))
        return "% \\usepackage{booktabs,graphicx}\n" + "\n".join(parts)

    def _places(self) -> list[tuple[str, list[int]]]:
        """Each value of the first column with its lines; all lines together where they fit on a page."""
        first: list[str] = self.text.iloc[:, 0].tolist()
        if len(first) <= _ON_A_PAGE:
            return [("", list(range(len(first))))]
        return [(place, [i for i, other in enumerate(first) if other == place]) for place in dict.fromkeys(first)]

    def _part(self, lines: list[int], caption: str, label: str) -> str:
        """These lines as one table: without empty columns, escaped, scaled down to the text width."""
        text = self.text.iloc[lines]
        text = text.loc[:, (text != MISSING).any()]
        styler = text.map(latex).rename(columns=latex).style.hide(axis="index")
        for column in text.columns.intersection(list(self.bold)):
            styler = styler.apply(_bold, subset=[latex(column)], bold=[self.bold[column][line] for line in lines])
        columns = [_WRAPPED if text[name].map(typesettable).str.len().max() > _LONG else "l" for name in text]
        tabular = styler.to_latex(convert_css=True, hrules=True, column_format="".join(columns))
        return (
            f"\\begin{{table}}\n\\centering\\footnotesize\n\\caption{{{caption}}}\n\\label{{{label}}}\n"
            f"\\resizebox{{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}}{{!}}{{%\n{tabular}}}\n\\end{{table}}\n"
        )


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
