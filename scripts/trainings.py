"""What short trainings reach, and which gradient metric predicts it: `python scripts/trainings.py FOLDER`.

Every estimator whose training step takes at most FLOORS deterministic steps trains for 500 steps on the latents of
docs/which-estimator.md, and for 5,000 on 200 bits and on 20x10 classes. results/reference/which/trainings.csv gets the
rows that the page is made of, task by task and seed by seed; a second call trains what it lacks. FOLDER holds the cells
meanwhile. The correlations with the gradient's metrics go into the package. About 4 hours on one idle core.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
from dvae_bench.bench.ranking.correlation import METRICS, REFERENCE, STEPS_SHOWN, correlations
from dvae_bench.bench.ranking.trained import ELBO, SECONDS
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import STEPS
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pages import reference

OUT = reference.FOLDER / "which" / "trainings.csv"
SMALL = (
    "mnist-vae:n=6",
    "mnist-vae:arch=categorical,n=2,k=4",
    "mnist-vae:arch=gaussian,n=3",
    "mnist-vae:arch=gaussian",
)
LARGE = ("mnist-vae", "mnist-vae:arch=categorical")
LENGTHS = ((500, 10, (*LARGE, *SMALL)), (5000, 5, LARGE))  # steps, evaluations, tasks; no step is reached twice
SEEDS = 3
FLOORS = 5
DEAR = (  # steps of more than FLOORS deterministic steps on one of the two tasks, in the quick run on a CPU
    "direct-loss", "local-expectation", "measure-valued", "rodeo", "ars-plus", "arsm", "arsm-plus", "carms", "disarm-iw"
)  # fmt: skip
EVERY = 100  # ELBO and time are kept at multiples of so many steps, the gradient metrics at the steps of STEPS_SHOWN
COLUMNS = ["length", "estimator", "task", "data", "device", "seed", "source", "group", "step", "metric", "value", "se",
           "lo", "hi", "n", "status", "reason"]  # fmt: skip


def kept(rows: pd.DataFrame, length: int) -> pd.DataFrame:
    """The rows that the page reads."""
    ended = rows["metric"].eq("") & rows["status"].ne("unsupported")
    curve = rows["metric"].isin([ELBO, SECONDS]) & (rows["step"] % EVERY).eq(0)
    metrics = rows["metric"].isin(METRICS) & rows["step"].isin(STEPS_SHOWN)
    return rows[ended | (curve | metrics) & rows["group"].eq("")].assign(length=length)[COLUMNS]


def main() -> None:
    names = [name for name in ESTIMATORS.select(["all"]) if name.family not in DEAR]
    found = reference.trainings()
    for steps, evaluations, tasks in LENGTHS:
        preset = PRESETS["quick"].changed(STEPS, steps=steps, seconds=1e6, evaluations=evaluations)
        folder = Path(sys.argv[1]) / str(steps)
        session = Session.prepare(names, TASKS.select(tasks), preset, SEEDS, "cpu", 1, folder, [STEPS])
        for seed in range(SEEDS):  # a seed is written when all of its trainings have ended
            ended = found[(found["length"] == steps) & (found["seed"] == seed)]
            trained = set(zip(ended["estimator"], ended["task"], strict=True))
            lacking = (cell for cell in session.cells if (str(cell.estimator), str(cell.task)) not in trained)
            cells = [cell for cell in lacking if cell.seed == seed]
            own = replace(session, cells=cells)
            own.run(
                Progress(end=lambda cell, status, reason, seconds: print(status, cell, cell.seed, flush=True)), False
            )
            found = pd.concat([found, kept(own.rows(), steps)]) if cells else found
            found.sort_values(COLUMNS[:10]).to_csv(OUT, index=False, float_format="%.6g")
    related = correlations(found[found["task"].isin(LARGE)])
    related.to_csv(REFERENCE, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
