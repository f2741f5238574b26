"""Does the ranking of estimators change under a Boltzmann prior? `python scripts/boltzmann_ranking.py FOLDER [EPOCHS]`.

Ten estimators train on 200 bits under the fixed prior and under an RBM of 100 + 100 bits, for EPOCHS epochs (20):
first all at the middle learning rate on the seed of the choice, then at the other rates there, then at the best of
them on three more seeds. results/reference/boltzmann/trainings.csv gets the rows of each training as it ends; a second
call goes on. FOLDER holds the cells meanwhile. On one idle core 20 trainings of 20 epochs take about half an hour, and
all 120 about three: a step takes 5 ms under the fixed prior and 7 under the RBM, and more with `disarm` and `rebar`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from dvae_bench.bench.ranking.trained import ELBO, SECONDS
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import STEPS
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from pages import reference
from pages.boltzmann import CHOICE, EPOCH, EPOCHS, NAMES, PRIORS, RATES, SEEDS, chosen, task

OUT = Path(__file__).resolve().parent.parent / "results" / "reference" / "boltzmann" / "trainings.csv"
EVALUATIONS = 4
KEPT = (ELBO, SECONDS, "iw_test", "log_z", "log_z_gap")
COLUMNS = ["length", "estimator", "task", "data", "device", "seed", "source", "group", "step", "metric", "value", "se",
           "lo", "hi", "n", "status", "reason"]  # fmt: skip
ROUNDS: Sequence[tuple[int, Sequence[float]]] = ((CHOICE, RATES[1:2]), (CHOICE, RATES), *((seed, ()) for seed in SEEDS))
"""The seed and the rates of each round; no rates: the best one of each estimator and prior."""


def session(folder: Path, epochs: int) -> Session:
    preset = PRESETS["quick"].changed(
        STEPS,
        steps=epochs * EPOCH,
        seconds=1e6,
        evaluations=EVALUATIONS,
        images=10_000,
        iw_images=1000,
        variance_draws=0,
        reference_draws=0,
        splits=("test",),
    )
    tasks = TASKS.select([task(prior, rate) for prior in PRIORS for rate in RATES])
    return Session.prepare(ESTIMATORS.select(NAMES), tasks, preset, CHOICE + 1, "cpu", 1, folder / str(epochs), [STEPS])


def due(found: pd.DataFrame, epochs: int, seed: int, rates: Sequence[float]) -> list[tuple[str, str, int]]:
    """The estimators, tasks and seed of a round that have not been trained."""
    trained = set(
        found.loc[found["length"] == epochs, ["estimator", "task", "seed"]].itertuples(index=False, name=None)
    )
    best: Mapping[tuple[str, str], float] = {} if rates else chosen(found, epochs)
    pairs = [(name, prior) for name in NAMES for prior in PRIORS]
    wanted = [(name, task(*at), seed) for name, prior in pairs for at in _at(prior, rates, best.get((name, prior)))]
    return [each for each in wanted if each not in trained]


def _at(prior: str, rates: Sequence[float], best: float | None) -> list[tuple[str, float]]:
    return [(prior, rate) for rate in rates or ([] if best is None else [best])]


def main() -> None:
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else EPOCHS
    whole = session(Path(sys.argv[1]), epochs)
    cells = {(str(cell.estimator), str(cell.task), cell.seed): cell for cell in whole.cells}
    progress = Progress(
        end=lambda cell, status, reason, seconds: print(status, cell, f"{seconds:.0f} s", reason, flush=True)
    )
    found = reference.boltzmann()
    for seed, rates in ROUNDS:
        for each in due(found, epochs, seed, rates):
            own = replace(whole, cells=[cells[each]])
            if own.run(progress, fresh=False).get("error"):
                continue  # it was printed, and the next call trains it again
            rows = own.rows()
            kept = rows[rows["group"].eq("") & rows["metric"].isin(["", *KEPT])].assign(length=epochs)[COLUMNS]
            found = kept if found.empty else pd.concat([found, kept])
            found.sort_values(COLUMNS[:10]).to_csv(OUT, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
