"""All figures of a report, drawn without a display and to the same bytes every time."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pandas as pd
from dvae_bench.estimators.names import UsageError, nearest

from .rows import prepare

FIGURES = {
    "variance-cost": "variance of the gradient against evaluations and time",
    "bias": "relative bias, and the smallest that could have been seen",
    "training": "ELBO against steps and seconds",
    "kl": "KL of the posterior to the prior during training",
    "samples": "images reconstructed, and drawn from the prior",
    "phases": "where the time of a training step goes",
    "sweeps": "bias and variance against a hyper-parameter that the run sweeps",
    "smoothing": "the smoothing transformations f1, f2, f3; for every run the same",
}


def write_figures(rows: pd.DataFrame, folder: Path, names: list[str] | None = None) -> tuple[list[Path], list[str]]:
    """Draw the named figures (all) as .pdf and .png; returns the files, and a note for each one without data.

    Raises UsageError for an unknown name. A figure that an earlier report left in `folder` is removed.
    """
    names = list(FIGURES) if names is None else names
    for name in names:
        if name not in FIGURES:
            raise UsageError(f"no figure {name!r}{nearest(name, FIGURES)}")
    from .style import style

    rows, files, notes = prepare(rows), [], []
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        paths = [folder / f"{name}.pdf", folder / f"{name}.png"]
        for path in paths:
            path.unlink(missing_ok=True)
        with style():
            figure = import_module(f".{name.replace('-', '_')}", __package__).draw(rows)
            if isinstance(figure, str):
                notes.append(f"{name}: skipped, {figure}")
                continue
            figure.savefig(paths[0], metadata={"CreationDate": None})
            figure.savefig(paths[1])
        files += paths
    return files, notes
