"""The support matrix: which estimators must run on which latents, so that `unsupported` cannot hide work.

support.csv is written by hand, from the latents that each paper defines its method for. An estimator that is not in it
fails here; so does a cell that says `ok` and does not run, or the other way round.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources import DRAWS
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from tiny import TINY, grid

TOYS = {
    "bernoulli": "bit-table:d=3",
    "bernoulli, two layers": "two-layer",
    "bernoulli, RBM prior": "rbm-bits:d=2",
    "one categorical site": "category-table:n=1",
    "categorical": "category-table:n=2,k=3",
    "categorical, two layers": "tiny-half:latents=classes",
    "subset": "subset",
    "encodings": "vq-table",
    "encodings, linear codebook": "vq-table:codebook=linear-codebook",
    "continuous": "moments",
    "sequence": "sequence:t=2",
}
SHORT = TINY.changed(DRAWS, blocks=8, rows=8)


def matrix() -> dict[str, dict[str, str]]:
    with (Path(__file__).parent / "support.csv").open() as file:
        return {line.pop("estimator"): line for line in csv.DictReader(file)}


MATRIX = matrix()


def test_the_matrix_holds_every_estimator() -> None:
    assert sorted(MATRIX) == sorted(plugin.name for plugin in ESTIMATORS.builtin.values())
    assert all(set(cells) == set(TOYS) for cells in MATRIX.values())


@pytest.mark.parametrize("name", MATRIX)
def test_runs_are_as_the_matrix_says(name: str, store: Store) -> None:
    run_cells(grid(name, tasks=list(TOYS.values()), sources="draws", preset=SHORT), store, Progress())
    status = store.rows().groupby("task")["status"].agg(lambda statuses: statuses.mode()[0])
    on = {latent: str(TASKS.canonical(Name.parse(toy))) for latent, toy in TOYS.items()}
    found = {latent: status.get(task, "unsupported") for latent, task in on.items()}
    assert found == MATRIX[name], "a task without rows is one that the facts rule out"
