"""The numbers of docs/policy-gradients.md, which this script writes to results/reference/policy-gradients/.

Every form of the page at four draws of z, with all combinations of the draws enumerated.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from dvae_bench.bench.report import tables_of
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import ENUMERATION
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pages.policy_gradients import FORMS

OUT = Path(__file__).resolve().parent.parent / "results" / "reference" / "policy-gradients"


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


if __name__ == "__main__":
    main()
