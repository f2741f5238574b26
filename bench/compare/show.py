"""A comparison as text for the terminal, as Markdown for a summary page, and as JUnit XML for CI."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ..escapes import markdown as escaped
from ..escapes import terminal, xml
from ..report import numbers
from .answer import answer, shortened
from .comparison import Comparison
from .effect import BETTER, CONFIDENCE, SAME, UNCLEAR, WORSE
from .gate import ADVICE, MISSING, STATUS, VERDICTS
from .judge import Verdict
from .metrics import KINDS

_JUNIT = {MISSING: "failure", WORSE: "failure", UNCLEAR: "skipped", BETTER: "system-out", ADVICE: "system-out"}


def summary(comparison: Comparison) -> list[str]:
    """The counts, the margins, and what the verdicts do not cover; one sentence per line."""
    count = comparison.count()
    lines = [
        f"{count.total()} compared: " + ", ".join(f"{count[word]} {word}" for word in VERDICTS),
        f"margins: {comparison.gate.margins_text()}; intervals at {100 * CONFIDENCE:.0f} %",
    ]
    if advising := [kind for kind in KINDS if kind not in comparison.gate.kinds]:
        lines.append(f"advice, which cannot fail: {', '.join(advising)}")
    for text, subjects in (("only in NEW", comparison.only_new), ("failed in NEW", comparison.failed)):
        if subjects:
            lines.append(f"{text}: {shortened(map(str, subjects), '; ')}")
    return lines + comparison.notes


def lines(comparison: Comparison) -> pd.DataFrame:
    """One line per verdict that is not `same`, all text."""
    columns = ["verdict", "task", "estimator", "metric", "BASE", "NEW", "change", "reason"]
    changed = [_line(verdict) for verdict in comparison.verdicts if verdict.word != SAME]
    return pd.DataFrame(changed, columns=columns).replace("", numbers.MISSING)


def _line(verdict: Verdict) -> tuple[str, ...]:
    subject = verdict.subject
    return (
        verdict.word, subject.task, subject.estimator, _metric(verdict),
        verdict.base, verdict.new, verdict.change, verdict.reason,
    )  # fmt: skip


def _metric(verdict: Verdict) -> str:
    """`var_total cut`, `status (draws)`."""
    return f"{verdict.metric} {verdict.group}".strip() if verdict.metric != STATUS else f"({verdict.subject.source})"


def show(comparison: Comparison, console: Console) -> None:
    for sentence in (answer(comparison), *summary(comparison)):
        console.print(terminal(sentence), markup=False)
    table = lines(comparison)
    if len(table):
        grid = Grid(box=None, header_style="bold", pad_edge=False)
        for column in table.columns:
            grid.add_column(column, no_wrap=column != "reason")
        for line in table.itertuples(index=False):
            grid.add_row(*(Text(terminal(cell)) for cell in line))
        console.print(grid)


def markdown(comparison: Comparison, base: str, new: str) -> str:
    head = [f"### {escaped(base)} → {escaped(new)}", f"**{escaped(answer(comparison))}**"]
    head += map(escaped, summary(comparison))
    table = lines(comparison).map(escaped)
    body = table.to_markdown(index=False, disable_numparse=True) if len(table) else ""
    return "\n\n".join(filter(None, [*head, body])) + "\n"


def junit(comparison: Comparison) -> str:
    """JUnit XML with one test case per verdict: missing and worse are failures, unclear is skipped."""
    count = comparison.count()
    suite = ET.Element(
        "testsuite",
        name="dvae-bench compare",
        tests=str(count.total()),
        failures=str(count[MISSING] + count[WORSE]),
        errors="0",
        skipped=str(count[UNCLEAR]),
    )
    for verdict in comparison.verdicts:
        subject = verdict.subject
        name, of = xml(f"{subject.estimator} {_metric(verdict)}"), xml(f"{subject.task}.{subject.source}")
        case = ET.SubElement(suite, "testcase", classname=of, name=name)
        kind = _JUNIT.get(verdict.word)
        if kind is not None:
            text = xml(f"{verdict.base} -> {verdict.new} {verdict.change} {verdict.reason}")
            ET.SubElement(case, kind, {"message": text} if kind != "system-out" else {}).text = text
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)
