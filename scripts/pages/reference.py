"""The committed reference results, in the form the generated pages need."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).resolve().parent.parent.parent / "results" / "reference"
Line = Mapping[Hashable, Any]


def toys() -> pd.DataFrame:
    """One line per toy and supported estimator."""
    return _table("toys").query("verdict != 'unsupported'")


def training() -> pd.DataFrame:
    """One line per VAE and supported estimator."""
    return _table("training").query("status != 'unsupported'")


def _table(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "tables" / f"{name}.csv", keep_default_na=True)


def basket() -> pd.DataFrame:
    """One line per VAE and estimator of `make which`: metric, metric_lo, metric_hi, calls of f, and norms."""
    rows = pd.read_csv(FOLDER / "which" / "basket.csv").fillna({"estimator": ""})
    norms = rows[rows["estimator"] == ""].pivot(index="task", columns="metric", values="value")
    measured = rows[rows["estimator"] != ""].pivot(
        index=["task", "estimator"], columns="metric", values=["value", "lo", "hi"]
    )
    measured.columns = [f"{metric}_{end}".removesuffix("_value") for end, metric in map(tuple, measured.columns)]
    return measured.join(norms).reset_index()


def which_toys() -> pd.DataFrame:
    """One line per toy and estimator of `make which`, with the norm of the exact gradient."""
    return pd.read_csv(FOLDER / "which" / "toys.csv", dtype={"variance_status": str}).fillna({"variance_status": ""})


def policy_gradients() -> pd.DataFrame:
    """One line per form of the policy gradient, ours and TRL's (whose lines have its version), of
    `make policy-gradients`."""
    return pd.concat([pd.read_csv(FOLDER / "policy-gradients" / f"{part}.csv") for part in ("exact", "trl")])


def trained_policies() -> pd.DataFrame:
    """One line per estimator, seed and step: the share of right tokens, of `make policy-gradients`."""
    return pd.read_csv(FOLDER / "policy-gradients" / "training.csv")


def machine() -> str:
    """The machine and date of the reference results, as text."""
    context = json.loads((FOLDER / "context.json").read_text(encoding="utf-8"))
    versions = context["versions"]
    return f"{context['cpu']}, {context['threads']} thread, torch {versions['torch']}, {context['started'][:10]}"


def trainings() -> pd.DataFrame:
    """The rows of scripts/trainings.py as a run stores them, and `length`, the steps of the whole training."""
    return _rows("which")


def boltzmann() -> pd.DataFrame:
    """The rows of scripts/boltzmann_ranking.py as a run stores them, and `length`, the epochs of the whole training."""
    return _rows("boltzmann")


def _rows(folder: str) -> pd.DataFrame:
    numbers = {name: [""] for name in ("value", "se", "lo", "hi", "n", "step")}
    return pd.read_csv(FOLDER / folder / "trainings.csv", keep_default_na=False, na_values=numbers)
