"""Tables and figures: pure functions of stored rows. seaborn is imported when the first figure is drawn."""

from __future__ import annotations

from pathlib import Path

from .figures.write import FIGURES, write_figures
from .study import Study, labels
from .tables.write import tables_of, write_tables
from .verdicts import verdicts

__all__ = ["FIGURES", "Study", "labels", "tables_of", "verdicts", "write_figures", "write_report", "write_tables"]


def write_report(study: Study, out: Path) -> list[Path]:
    """Write tables/ and figures/ below `out`; figures/skipped.txt names the figures without data. Returns the files."""
    files = write_tables(study.tables, out / "tables")
    drawn, notes = write_figures(study.rows, out / "figures", memory=out / "figures" / "drawn.json")
    skipped = out / "figures" / "skipped.txt"
    skipped.unlink(missing_ok=True)
    if notes:
        skipped.write_text("\n".join(notes) + "\n", encoding="utf-8")
        drawn.append(skipped)
    return files + drawn
