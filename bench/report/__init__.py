"""Tables and figures: pure functions of stored rows. seaborn is imported when the first figure is drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .figures import FIGURES, write_figures
from .tables import tables, write_tables
from .verdicts import verdicts

__all__ = ["FIGURES", "tables", "verdicts", "write_figures", "write_report", "write_tables"]


def write_report(rows: pd.DataFrame, out: Path) -> list[Path]:
    """Write tables/ and figures/ below `out`; figures/skipped.txt says which had no data. Returns the files."""
    files = write_tables(rows, out / "tables")
    drawn, notes = write_figures(rows, out / "figures")
    skipped = out / "figures" / "skipped.txt"
    skipped.unlink(missing_ok=True)
    if notes:
        skipped.write_text("\n".join(notes) + "\n", encoding="utf-8")
        drawn.append(skipped)
    return files + drawn
