"""The table of trained models: the ELBO of each estimator, the variance of its gradient, the time of a step."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...log_z import UNCERTAIN, uncertain
from ...sources import CLOCK, STEPS
from ..numbers import with_interval
from ..rows import CELL, applicable, failures, final, finished, measured, sizes, trainings
from .best import BOLD, not_worse
from .table import Table, informative

_FINAL = {
    "elbo_train": "ELBO train",
    "elbo_test": "ELBO test",
    "iw_test": "IW bound test",
    "gap_test": "gap",
    "kl_test": "KL test",
    "bits_per_dim_test": "bits per dimension",
    "log_z": "log Z",
    "log_z_gap": "log Z gap",
    "negative_ratio": "negative ratio",
    "perplexity_test": "perplexity",
    "dead_codes_test": "dead codes",
    "distortion_test": "distortion",
    "bits_test": "bits",
    "var_cut": "variance at the logits",
    "var_encoder": "variance, encoder",
    "var_minibatch": "variance, minibatches",
    "seconds": "seconds",
}
_ALWAYS = ("elbo_train", "elbo_test", "iw_test", "var_cut", "var_encoder", "seconds")
"""The columns of every training table; the others appear where a task reports them."""
_KEY = ("estimator", "ELBO test", "IW bound test", "variance, encoder", "ms per step", "steps", "status")
_BOUNDS = ("elbo_train", "elbo_test", "iw_test")
_JUDGED = {metric: _FINAL[metric] for metric in (*_BOUNDS, "var_encoder")} | {"ms_per_step": "ms per step"}
_CAPTION = (
    "Training, {sizes}. ELBO and importance-weighted bound in nats at the last step, larger is better; gap: the bound "
    "minus the ELBO of the same images; steps: as many as the time limit of a cell allowed. With several seeds: "
    "the mean, and in parentheses the range of the seeds. Brackets are 95 per cent intervals. Failed seeds are counted "
    "under status and enter no mean. {bold}, without correction for multiple comparisons."
)
_OF_LOG_Z = (
    f" {UNCERTAIN}: it differs from that of reverse annealing by more than half the width of the ELBO's interval, so "
    "that the ELBO may be too high by as much."
)


def training_table(rows: pd.DataFrame) -> Table:
    """One line per task, data and estimator, by task, then by test ELBO, the best first."""
    rows = trainings(rows)
    numbers = pd.DataFrame(index=applicable(rows))
    unsure = numbers.index.isin(uncertain(rows).set_index(CELL).index)
    status = _status(rows, numbers.index)
    numbers["status"] = [f"{s}, {UNCERTAIN}" if doubt else s for s, doubt in zip(status, unsure, strict=True)]
    text = pd.DataFrame(index=numbers.index)
    text["status"] = numbers["status"]
    for metric, header in _FINAL.items():
        found = final(rows, metric).reindex(numbers.index)
        if metric not in _ALWAYS and found["value"].isna().all():
            continue
        numbers[[metric, f"{metric}_lo", f"{metric}_hi"]] = found[["value", "lo", "hi"]]
        text[header] = [
            with_interval(value, lo, hi, "{} ({} to {})" if seeds > 1 else "{} [{}, {}]")
            for value, lo, hi, seeds in found[["value", "lo", "hi", "seeds"]].to_numpy(dtype=float)
        ]
    steps = rows[rows["metric"] == "seconds"].groupby(CELL)["step"].max().reindex(numbers.index)
    numbers["steps"] = steps
    text["steps"] = ["" if pd.isna(count) else f"{count:.0f}" for count in steps]
    step = measured(rows, CLOCK, "time_total").reindex(numbers.index)[["value", "lo", "hi"]] / 1000
    numbers[["ms_per_step", "ms_per_step_lo", "ms_per_step_hi"]] = step
    text["ms per step"] = [with_interval(*line) for line in step.to_numpy(dtype=float)]
    keys, down = ["task", "data", "device", "elbo_test", "estimator"], [True, True, True, False, True]
    order = numbers.reset_index().sort_values(keys, ascending=down).index
    numbers, text = numbers.reset_index().loc[order], text.reset_index().loc[order]
    known = pd.Series(~unsure, dtype=bool)[order]
    bold = {
        header: not_worse(numbers, metric, known if metric in _BOUNDS else None, higher=metric in _BOUNDS)
        for metric, header in _JUDGED.items()
    }
    caption = _CAPTION.format(sizes=sizes(rows, "elbo_test", "test images"), bold=BOLD)
    if not known.all():
        caption += _OF_LOG_Z
    return Table("training", caption, numbers, informative(text.astype(object)), bold, _KEY)


def _status(rows: pd.DataFrame, cells: pd.Index) -> list[str]:
    """The status of each cell: "3 seeds", "2 seeds, 1 diverged", or "error" where no seed finished."""
    ended = finished(rows, *_FINAL)[[*CELL, "seed"]].drop_duplicates()
    seeds = ended.groupby(CELL).size()
    failed = failures(rows)
    counts = failed[failed["source"].isin([STEPS.name, ""])].groupby([*CELL, "status"])["seed"].nunique()
    found: dict[Any, list[str]] = {cell: [f"{n} seed{'s' * (n > 1)}"] for cell, n in seeds.items()}
    for line in counts.reset_index().to_dict("records"):
        cell = tuple(line[key] for key in CELL)
        found.setdefault(cell, []).append(f"{line['seed']} {line['status']}" if cell in seeds.index else line["status"])
    return [", ".join(found.get(cell, ["not trained"])) for cell in cells]
