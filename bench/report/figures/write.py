"""All figures of a report, drawn without a display and to the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from dvae_bench.estimators.names import UsageError, nearest

from ...store.files import remove_file, replace_file
from ..rows import prepare
from ..view import View

FIGURES = {
    "variance-cost": "variance of the gradient against its cost, with the front",
    "bias": "relative bias, and the smallest detectable bias",
    "training": "test ELBO after training, and the way there by family",
    "kl": "KL of the posterior to the prior during training",
    "samples": "reconstructed images, and samples from the prior",
    "phases": "the shares of the phases in the time of a training step",
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
"""name -> title; the module of that name has `plot(rows, view)`: the figure, or why these rows give none."""
NARROW = ("families", "peers")
"""Figures that are one column wide in any case."""
_ENDINGS: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}


def write_figures(
    rows: pd.DataFrame,
    folder: Path,
    names: list[str] | None = None,
    look: str = "paper",
    columns: int = 2,
    memory: Path | None = None,
    below: Path | None = None,
    view: View = View(),  # noqa: B008  # immutable
) -> tuple[list[Path], list[str]]:
    """Draw the named figures (default: all) as .pdf, .svg and .png.

    view: which estimators and tasks they show, and how. look: one of STYLES; columns: the columns of a page that a
    figure spans, 1 or 2, except those of NARROW. A figure that an earlier report left in `folder` is removed, unless
    the file `memory` (see Drawn) records that it would be drawn the same. below: the folder that the user named, by
    default `folder`. Returns the files, and a note for each figure without data. Raises UsageError for an unknown
    name, and Unwritable.
    """
    names = list(FIGURES) if names is None else names
    known(names)
    from .drawn import Drawn
    from .style import style

    rows, notes = view.select(prepare(rows)), []
    files: list[Path] = []
    below = folder if below is None else below
    drawn = Drawn(memory, rows, look, columns, view)
    for name in names:
        paths = [folder / f"{name}{ending}" for ending in _ENDINGS]
        reason = drawn.found(name, paths)
        if reason is None:
            for path in paths:
                remove_file(path, below)
            with style(look, 1 if name in NARROW else columns):
                reason = _draw(name, rows, paths, view)
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


def plot(name: str, rows: pd.DataFrame, view: View = View()) -> Any:  # noqa: B008  # immutable
    """The figure of that name from `prepare`d rows; or why these rows give none, as text."""
    return import_module(f".{name.replace('-', '_')}", __package__).plot(rows, view)


def _draw(name: str, rows: pd.DataFrame, paths: Sequence[Path], view: View) -> str:
    """Draw one figure to all paths; returns "", or the reason why these rows give none."""
    from .style import lay_out

    figure = plot(name, rows, view)
    if isinstance(figure, str):
        return figure
    lay_out(figure)  # once for all formats
    for path, metadata in zip(paths, _ENDINGS.values(), strict=True):
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:], metadata=metadata)
        replace_file(path, content.getvalue())
    return ""
