"""The numbers of docs/policy-gradients.md, which this script writes to results/reference/policy-gradients/.

exact.csv: every form of the page at four draws of z, with all combinations of the draws enumerated. training.csv: the
trainings of examples/train_policy.py.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

import pandas as pd
from dvae_bench.bench.report import tables_of
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import ENUMERATION
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pages.policy_gradients import FORMS, TRAINED

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "results" / "reference" / "policy-gradients"
SEEDS = 3


def main() -> None:
    preset = PRESETS["quick"].changed(ENUMERATION, draws=1, blocks=1)
    progress = Progress(
        end=lambda cell, status, reason, seconds: print(f"{status:12}{seconds:6.1f} s  {cell}", flush=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        for task, forms in FORMS.items():
            chosen = ESTIMATORS.select([form.estimator for form in forms])
            session = Session.prepare(chosen, TASKS.select([task]), preset, 1, "cpu", 1, Path(folder), [ENUMERATION])
            session.run(progress, fresh=False)
        table = tables_of(Store.open(Path(folder)).rows()).exact
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "exact.csv").write_text(table.csv(), encoding="utf-8")
    trainings().to_csv(OUT / "training.csv", index=False, lineterminator="\n")


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
    main()
