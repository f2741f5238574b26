"""Measures how often the statistical tests and the ranking err, with a fresh seed.

It writes docs/calibration.md and the table of the ranking in docs/statistics.md.
--page only rewrites the page from the stored results; --ranking only measures the ranking.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import pandas as pd
import torch
from dvae_bench.bench.calibration.cases import cases
from dvae_bench.bench.calibration.levels import calibrate
from dvae_bench.bench.calibration.page import write_page
from dvae_bench.bench.calibration.ranking import PROBLEMS, table
from dvae_bench.bench.calibration.ranking import calibrate as calibrate_ranking

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
STORED, RANKINGS = REFERENCE / "calibration.csv", REFERENCE / "calibration-ranking.csv"
BEGIN, END = "<!-- calibration of the ranking, written by make calibrate -->", "<!-- end of the calibration -->"
NULL_RUNS, POWER_RUNS, VARIANCE_RUNS = 20_000, 2_000, 6_000


def main() -> None:
    torch.set_num_threads(1)
    seed = secrets.randbits(32)
    print(f"seed {seed}", flush=True)
    if not {"--page", "--ranking"} & set(sys.argv):
        rows = []
        for case in cases():
            print(f"{case.name}, n = {case.n:,}: {', '.join(case.parts)}", flush=True)
            rows += [row | {"seed": seed} for row in calibrate(case, seed, NULL_RUNS, POWER_RUNS, VARIANCE_RUNS)]
        pd.DataFrame(rows).convert_dtypes().to_csv(STORED, index=False)
    if "--page" not in sys.argv:
        judged = calibrate_ranking(range(seed, seed + PROBLEMS), say=lambda text: print(text, flush=True))
        pd.DataFrame(judged).to_csv(RANKINGS, index=False)
    write_page(pd.read_csv(STORED, dtype={"quantity": str}), ROOT / "docs")
    write_table(pd.read_csv(RANKINGS), ROOT / "docs" / "statistics.md")


def write_table(rows: pd.DataFrame, page: Path) -> None:
    """Put the table of the ranking between its two comments."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{begin}\n\n{table(rows)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
