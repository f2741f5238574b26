"""Tables and figures: pure functions of stored rows. seaborn is imported when the first figure is drawn."""

from __future__ import annotations

from pathlib import Path

from ..store.files import remove_file, replace_file
from .figures.write import FIGURES, write_figures
from .study import Study, labels
from .tables.write import chosen_table, tables_of, write_tables
from .verdicts import verdicts

__all__ = [
    "FIGURES",
    "Study",
    "chosen_table",
    "labels",
    "tables_of",
    "verdicts",
    "write_figures",
    "write_report",
    "write_tables",
]


def write_report(study: Study, out: Path) -> list[Path]:
    """Write tables/ and figures/ below `out`; figures/skipped.txt names the figures without data. Returns the files.

    Raises Unwritable.
    """
    files = write_tables(study.tables, out / "tables")
    drawn, notes = write_figures(study.rows, out / "figures", memory=out / "figures" / "drawn.json", below=out)
    skipped = out / "figures" / "skipped.txt"
    if notes:
        replace_file(skipped, ("\n".join(notes) + "\n").encode(), out)
        drawn.append(skipped)
    else:
        remove_file(skipped, out)
    return files + drawn
