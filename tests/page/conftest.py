"""A results folder of made-up rows: nothing here measures anything."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvae_bench.bench.store.store import Store

TASKS = ("bit-table", "category-table")
VARIANCES = {"rloo:n=4": 0.6, "disarm": 0.8, "straight-through": 0.1, "reinforce": 9.0}
BIASED = "straight-through"
ELBOS = {"straight-through": -110.0}
TIMES = {"rloo:n=4": 12.0, "disarm": 5.0, "straight-through": 50.0, "reinforce": 4.0}


def cell(estimator: str, task: str, source: str, data: str = "") -> dict[str, Any]:
    family = estimator.partition(":")[0]
    identity = {"estimator": estimator, "family": family, "task": task, "data": data, "seed": 0, "device": "cpu"}
    blank = {"source": source, "collector": "", "group": "", "step": 0, "metric": "", "unit": "", "direction": "none"}
    return identity | blank | {"n": 0, "status": "ok", "reason": ""}


def near(value: float, n: int) -> dict[str, float]:
    return {"value": value, "lo": 0.9 * value, "hi": 1.1 * value, "n": n}


SCALES = {"rloo:n=4": 1.0, "disarm": 1.0, "straight-through": 0.7, "reinforce": 1.0}
"""Of the mean gradient to the exact one, whose norm is 1."""
NOISE = 1 + np.random.default_rng(0).normal(0, 0.002, 64)


def products(estimator: str, task: str) -> list[dict[str, Any]]:
    """With `var_total`, what the ranking is rebuilt from: 64 blocks of draws, with their noise."""
    along = SCALES[estimator] * NOISE
    draws = cell(estimator, task, "draws")
    cut = draws | {"group": "cut"}
    target = "other-law" if estimator == "reinforce" else "discrete"
    return [
        cut | {"metric": "along", "value": along.mean(), "n": 4000, "blocks": along.tolist()},
        cut | {"metric": "mean_sq", "value": (along**2).mean(), "n": 4000, "blocks": (along**2).tolist()},
        cut | {"metric": "gradient_norm", "value": 1.0, "n": 1},
        draws | {"metric": "differentiations", "value": 0.0, "n": 1},
        draws | {"metric": "targets_expectation", "value": 1.0, "n": 1, "reason": target},
    ]


def toy_cells(estimator: str, task: str) -> dict[str, list[dict[str, Any]]]:
    scale = 1.0 + TASKS.index(task)
    draws = cell(estimator, task, "draws") | {"group": "cut"}
    bias = 0.3 if estimator == BIASED else 0.001
    return {
        "draws": [
            draws | {"metric": "bias_rel"} | near(bias, 4000),
            draws | {"metric": "bias_p", "value": 0.0 if estimator == BIASED else 0.5, "n": 4000},
            draws | {"metric": "bias_sdb", "value": 0.01, "n": 4000},
            draws
            | {"metric": "var_total", "blocks": (scale * VARIANCES[estimator] * NOISE).tolist()}
            | near(scale * VARIANCES[estimator], 4000),
            draws | {"group": "", "metric": "evaluations", "value": 2.0, "n": 1},
            *products(estimator, task),
        ],
        "clock": [cell(estimator, task, "clock") | {"metric": "time_total"} | near(scale * TIMES[estimator], 30)],
    }


def trained_cells(estimator: str) -> dict[str, list[dict[str, Any]]]:
    steps = [cell(estimator, "mnist-vae", "steps", "mnist-5k") | {"step": step} for step in (100, 200)]
    curves = {"elbo_test": ELBOS.get(estimator, -120.0), "var_encoder": 3.0 * VARIANCES[estimator]}
    clock = cell(estimator, "mnist-vae", "clock", "mnist-5k")
    phases = ("encode", "sample", "objective", "gradient", "objective_backward", "encoder_backward", "update")
    return {
        "steps": [
            *(at | {"metric": m} | near(value, 1000) | {"lo": value - 1, "hi": value + 1, "se": 0.5} for at in steps
              for m, value in curves.items()),
            *(at | {"metric": "seconds", "value": at["step"] * 0.01, "n": 1} for at in steps),
        ],
        "clock": [
            *(clock | {"metric": f"time_{phase}"} | near(300.0, 30) for phase in phases),
            clock | {"metric": "time_total"} | near(2100.0, 30),
            clock | {"metric": "evaluations", "value": 2.0, "n": 1},
        ],
    }  # fmt: skip


@pytest.fixture
def write_run() -> Callable[..., Path]:
    """Write a results folder; `extra` are further cells, [key] -> rows."""

    def write(folder: Path, extra: dict[str, list[dict[str, Any]]] | None = None) -> Path:
        store = Store(folder)
        cells = {f"{e}-{t}-{s}": rows for e, t in itertools.product(VARIANCES, TASKS)
                 for s, rows in toy_cells(e, t).items()}  # fmt: skip
        cells |= {f"{e}-vae-{s}": rows for e in VARIANCES for s, rows in trained_cells(e).items()}
        for i, rows in enumerate((cells | (extra or {})).values()):
            store.write(f"{i:04}", rows[-1]["status"], {"source": rows[0]["source"], "settings": {"rows": 4000}}, rows)
        store.write_context({"schema": 1, "cpu": "a processor", "versions": {"torch": "2.13.0"}, "device": "cpu"})
        return folder

    return write


def failure(estimator: str, task: str, status: str, reason: str) -> dict[str, Any]:
    return cell(estimator, task, "draws") | {"status": status, "reason": reason}


@pytest.fixture
def failed() -> Callable[..., dict[str, Any]]:
    return failure


EVIL = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
CLOSING = "</script><script>document.title='owned'</script>"


@pytest.fixture
def hostile_run(tmp_path: Path, write_run: Callable[..., Path]) -> tuple[Path, str, str]:
    """A stranger's folder: scripts as names, parameters, tracebacks and context; and the two that it plants."""
    named = cell(f"mine:kind={CLOSING}", "bit-table", "draws")
    cells = {
        "name": [failure(EVIL, "bit-table", "error", f"Traceback (most recent call last):\nValueError: {EVIL}")],
        "parameter": [
            named | {"group": "cut", "metric": "var_total"} | near(1.0, 10),
            named | {"metric": "evaluations", "value": 1.0, "n": 1},
        ],
        "task": [failure("rloo", EVIL, EVIL, CLOSING)],
    }
    folder = write_run(tmp_path / "hostile", cells)
    context = {"schema": 1, "cpu": EVIL, CLOSING: {EVIL: CLOSING}}
    (folder / "context.json").write_text(json.dumps(context))
    return folder, EVIL, CLOSING
