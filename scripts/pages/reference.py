"""The committed reference results, as the pages need them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).resolve().parent.parent.parent / "results" / "reference"
Line = Mapping[Hashable, Any]


def toys() -> pd.DataFrame:
    """A line for each toy and estimator that was measured there."""
    return _table("toys").query("verdict != 'unsupported'")


def training() -> pd.DataFrame:
    """A line for each VAE and estimator that trained it."""
    return _table("training").query("status != 'unsupported'")


def _table(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "tables" / f"{name}.csv", keep_default_na=True)


def basket() -> pd.DataFrame:
    """A line for each VAE and estimator of `make which`: metric, metric_lo, metric_hi, calls of f, and norms."""
    rows = pd.read_csv(FOLDER / "which" / "basket.csv").fillna({"estimator": ""})
    norms = rows[rows["estimator"] == ""].pivot(index="task", columns="metric", values="value")
    measured = rows[rows["estimator"] != ""].pivot(
        index=["task", "estimator"], columns="metric", values=["value", "lo", "hi"]
    )
    measured.columns = [f"{metric}_{end}".removesuffix("_value") for end, metric in map(tuple, measured.columns)]
    return measured.join(norms).reset_index()


def which_toys() -> pd.DataFrame:
    """A line for each toy and estimator of `make which`, with the norm of its exact gradient."""
    return pd.read_csv(FOLDER / "which" / "toys.csv").fillna({"variance_status": ""})


def machine() -> str:
    """Where the reference was measured, in words."""
    context = json.loads((FOLDER / "context.json").read_text(encoding="utf-8"))
    versions = context["versions"]
    return f"{context['cpu']}, {context['threads']} thread, torch {versions['torch']}, {context['started'][:10]}"
