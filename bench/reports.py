"""Everything that `dvae-bench report` writes: for one results folder, or for several side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dvae_bench.estimators.names import UsageError

from .page.page import Compared, write_page
from .report import Study, labels, write_report
from .store.files import own
from .store.store import Store, trim


def write_reports(
    folders: Sequence[Path], out: Path | None, left_out: Callable[[Path], object] = lambda part: None
) -> list[Path]:
    """Write tables and figures, one page, and comparisons of the later runs with the first; returns the files.

    left_out: called with each damaged part. With several runs, each has a folder of its own for its tables and
    figures. Raises UsageError when several runs are given without `out`, and when a folder holds no results.
    Raises Unwritable.
    """
    if out is None and len(folders) > 1:
        raise UsageError("a report of several runs needs a folder of its own; give one with -o")
    target = folders[0] if out is None else out
    stores = list(map(Store.open, folders))
    studies = [Study.of(store, label) for store, label in zip(stores, labels(folders), strict=True)]
    for store, study in zip(stores, studies, strict=True):
        for key in study.damaged:
            left_out(store.part(key))
    places = [target] if len(studies) == 1 else [target / f"run-{i}" for i in range(1, len(studies) + 1)]
    for place in places[1:] and places:
        own(place, target)
    # The page before the figures: people open it first, and a figure imports torch, which takes as much memory.
    page = write_page(studies, target / "index.html", _compared(folders, studies))
    trim()
    files = [path for study, place in zip(studies, places, strict=True) for path in write_report(study, place)]
    return [*files, page]


def _compared(folders: Sequence[Path], studies: Sequence[Study]) -> list[Compared]:
    """The later runs, each compared with the first."""
    if len(folders) == 1:
        return []
    from .compare.comparison import compare  # imports torch
    from .compare.runs import Run
    from .compare.show import lines, summary

    base, *others = map(Run.open, folders)
    pairs = []
    for study, run in zip(studies[1:], others, strict=True):
        comparison = compare(base, run, lambda _: "one look only")
        pairs.append((f"{studies[0].label} → {study.label}", summary(comparison), lines(comparison)))
    return pairs
