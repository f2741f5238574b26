"""The numbers of docs/policy-gradients.md, which this script writes to results/reference/policy-gradients/.

    python scripts/policy_gradients.py [exact] [trl] [training]     all three by default

exact.csv: every form of the page at four draws of z, with all combinations of the draws enumerated. trl.csv: the same
of TRL's trainers (extra `trl`), with its version. training.csv: the trainings of examples/train_policy.py.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from dvae_bench.bench.report import tables_of
from dvae_bench.bench.report.tables.table import Table
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import ENUMERATION
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pages.policy_gradients import FORMS, TRAINED, TRL, TRL_FILE, Form

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "results" / "reference" / "policy-gradients"
PARTS = ("exact", "trl", "training")
SEEDS = 3


def main(parts: list[str]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for part in parts or PARTS:
        if part == "trl":
            ESTIMATORS.add_file(ROOT / TRL_FILE)
            table = moments(TRL)
            table.numbers["version"] = version("trl")
            text = table.csv()
        else:
            text = moments(FORMS).csv() if part == "exact" else trainings().to_csv(index=False, lineterminator="\n")
        (OUT / f"{part}.csv").write_text(text, encoding="utf-8")


def moments(forms: Mapping[str, tuple[Form, ...]]) -> Table:
    """The exact moments of the forms of each task."""
    preset = PRESETS["quick"].changed(ENUMERATION, draws=1, blocks=1)
    progress = Progress(
        end=lambda cell, status, reason, seconds: print(f"{status:12}{seconds:6.1f} s  {cell}", flush=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        for task, of_task in forms.items():
            chosen = ESTIMATORS.select([form.estimator for form in of_task])
            session = Session.prepare(chosen, TASKS.select([task]), preset, 1, "cpu", 1, Path(folder), [ENUMERATION])
            session.run(progress, fresh=False)
        return tables_of(Store.open(Path(folder)).rows()).exact


def trainings() -> pd.DataFrame:
    """estimator, seed, step and the share of right tokens."""
    train = runpy.run_path(str(ROOT / "examples" / "train_policy.py"))["train"]
    return pd.DataFrame(
        [
            {"estimator": name, "seed": seed, "step": step, "right": right}
            for name in TRAINED
            for seed in range(SEEDS)
            for step, right in train(name, steps=600, seed=seed).items()
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
