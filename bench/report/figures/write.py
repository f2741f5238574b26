"""All figures of a report, drawn without a display and to the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from dvae_bench.estimators.names import UsageError, nearest

from ...escapes import mathtext
from ...store.files import remove_file, replace_file
from ..rows import CELL, prepare

FIGURES = {
    "variance-cost": "variance of the gradient against evaluations and time",
    "bias": "relative bias, and the smallest detectable bias",
    "training": "ELBO against steps and seconds",
    "kl": "KL of the posterior to the prior during training",
    "samples": "reconstructed images, and samples from the prior",
    "phases": "where the time of a training step goes",
    "sweeps": "bias and variance against a swept hyper-parameter",
    "smoothing": "the smoothing transformations f1, f2, f3, for runs with estimators that use them",
    "families": "squared bias and variance by family of estimators",
    "probability": "variance against the probability of the bit, as in the paper of REBAR",
    "basket": "bias and variance of a basket of estimators along one training run",
    "time-to-target": "seconds of training until the target",
    "calibration": "the p-values of a run against those of a perfect test",
    "peers": "bias of estimators from plugins, beside ours",
    "host-bound": "whether an accelerator waited for the host",
}
"""name -> title; the module of that name has `plot(rows)`, which returns the figure or why these rows give none."""
_SHOWN = (*CELL, "group")  # the columns of rows whose texts figures show
_ENDINGS: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}


def write_figures(
    rows: pd.DataFrame,
    folder: Path,
    names: list[str] | None = None,
    look: str = "paper",
    columns: int = 2,
    memory: Path | None = None,
    below: Path | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw the named figures (default: all) as .pdf, .svg and .png.

    look: one of STYLES; columns: the columns of a page that a figure spans, 1 or 2. A figure that an earlier report
    left in `folder` is removed, unless the file `memory` (see Drawn) records that it would be drawn the same.
    below: the folder that the user named, by default `folder`. Returns the files, and a note for each figure without
    data. Raises UsageError for an unknown name, and Unwritable.
    """
    names = list(FIGURES) if names is None else names
    known(names)
    from .drawn import Drawn
    from .style import style

    rows, notes = prepare(rows), []
    files: list[Path] = []
    below = folder if below is None else below
    drawn = Drawn(memory, rows, look, columns)
    rows = shown(rows)
    for name in names:
        paths = [folder / f"{name}{ending}" for ending in _ENDINGS]
        reason = drawn.found(name, paths)
        if reason is None:
            for path in paths:
                remove_file(path, below)
            with style(look, columns):
                reason = _draw(name, rows, paths)
            drawn.add(name, reason)
        if reason:
            notes.append(f"{name}: skipped, {reason}")
        else:
            files += paths
    return files, notes


def known(names: Iterable[str]) -> None:
    """Raises UsageError for a name that no figure has, naming the nearest."""
    for name in names:
        if name not in FIGURES:
            raise UsageError(f"no figure {name!r}{nearest(name, FIGURES)}")


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the texts that figures show written so that matplotlib takes none for a formula."""
    return rows.assign(**{name: rows[name].map(_mathtext(rows[name])).astype(object) for name in _SHOWN})


def plot(name: str, rows: pd.DataFrame) -> Any:
    """The figure of that name from `shown` rows; or why these rows give none, as text."""
    return import_module(f".{name.replace('-', '_')}", __package__).plot(rows)


def _mathtext(texts: pd.Series) -> dict[str, str]:
    return {text: mathtext(text) for text in texts.unique()}


def _draw(name: str, rows: pd.DataFrame, paths: Sequence[Path]) -> str:
    """Draw one figure to all paths; returns "", or the reason why these rows give none."""
    figure = plot(name, rows)
    if isinstance(figure, str):
        return figure
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # not laid out again for each format
    for path, metadata in zip(paths, _ENDINGS.values(), strict=True):
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:], metadata=metadata)
        replace_file(path, content.getvalue())
    return ""
