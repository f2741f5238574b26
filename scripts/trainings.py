"""What short trainings reach, and which gradient metric predicts it: `python scripts/trainings.py FOLDER`.

Every estimator whose training step takes at most FLOORS deterministic steps trains on 200 bits and on 20x10 classes.
FOLDER holds the cells, so that a second call goes on; results/reference/which/trainings.csv gets the rows that
docs/which-estimator.md is made of.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from dvae_bench.bench.ranking.correlation import METRICS
from dvae_bench.bench.ranking.trained import ELBO, SECONDS
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import STEPS
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

OUT = Path(__file__).resolve().parent.parent / "results" / "reference" / "which" / "trainings.csv"
TRAINED_ON = ("mnist-vae", "mnist-vae:arch=categorical")
TRAINED_STEPS, KEPT_STEPS, SEEDS = 500, (100, 500), 3
FLOORS = 5
DEAR = (  # steps of more than FLOORS deterministic steps on one of the two tasks, in the quick run on a CPU
    "direct-loss", "local-expectation", "measure-valued", "rodeo", "ars-plus", "arsm", "arsm-plus", "carms", "disarm-iw"
)  # fmt: skip
COLUMNS = ["estimator", "task", "data", "device", "seed", "source", "group", "step", "metric", "value", "se", "lo",
           "hi", "n", "status", "reason"]  # fmt: skip


def kept(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that the page reads, of tasks and seeds on which every estimator was tried."""
    ended = rows["metric"].eq("") & rows["status"].ne("unsupported")
    wanted = rows["metric"].isin([ELBO, SECONDS, *METRICS]) & rows["step"].isin(KEPT_STEPS) & rows["group"].eq("")
    whole = rows.groupby(["task", "seed"])["estimator"].transform("nunique")
    every = rows["estimator"].nunique()
    return rows[(wanted | ended) & whole.eq(every)][COLUMNS].sort_values(COLUMNS[:9], ignore_index=True)


def main() -> None:
    names = [name for name in ESTIMATORS.select(["all"]) if name.family not in DEAR]
    preset = PRESETS["quick"].trained(TRAINED_STEPS)
    session = Session.prepare(names, TASKS.select(TRAINED_ON), preset, SEEDS, "cpu", 1, Path(sys.argv[1]), [STEPS])
    session.run(Progress(end=lambda cell, status, reason, seconds: print(status, cell, cell.seed, flush=True)), False)
    kept(session.rows()).to_csv(OUT, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
