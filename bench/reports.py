"""Everything that `dvae-bench report` writes, of one results folder or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dvae_bench.estimators.names import UsageError

from .compare.comparison import compare
from .compare.runs import Run
from .compare.show import lines, summary
from .page.page import write_page
from .report import Study, labels, write_report
from .store.store import Store


def write_reports(folders: Sequence[Path], out: Path | None) -> list[Path]:
    """Tables and figures, a folder a run where there are several, and one page; the later are compared with the first.

    Raises UsageError where several runs have no `out`, and where a folder holds no results.
    """
    if out is None and len(folders) > 1:
        raise UsageError("several runs make one report of their own; say where with -o")
    target = folders[0] if out is None else out
    studies = [Study.of(Store.open(folder), label) for folder, label in zip(folders, labels(folders), strict=True)]
    places = [target] if len(studies) == 1 else [target / f"run-{i}" for i in range(1, len(studies) + 1)]
    files = [path for study, place in zip(studies, places, strict=True) for path in write_report(study, place)]
    base, *others = map(Run.open, folders)
    pairs = []
    for study, run in zip(studies[1:], others, strict=True):
        comparison = compare(base, run, lambda _: "one look only")
        pairs.append((f"{studies[0].label} → {study.label}", summary(comparison), lines(comparison)))
    return [*files, write_page(studies, target / "index.html", pairs)]
