"""Trainings whose ELBO is not known, since the log Z of their prior is not."""

from __future__ import annotations

from statistics import NormalDist

import pandas as pd

GAP, UNCERTAIN = "log_z_gap", "log Z uncertain"
TRAINING = ["task", "data", "device", "estimator", "seed"]


def uncertain(rows: pd.DataFrame) -> pd.DataFrame:
    """The last row of test ELBO of each training whose annealed and reverse annealed log Z lie farther apart than the
    ELBO and an end of its 95 % interval: a log Z that is too low makes the ELBO too high by as much."""
    keys = [*TRAINING, "step"]
    gaps = rows.loc[rows["metric"] == GAP, [*keys, "value"]].rename(columns={"value": "gap"})
    elbos = rows[rows["metric"] == "elbo_test"].merge(gaps, on=keys)
    last = elbos.sort_values("step", kind="stable").groupby(TRAINING).tail(1)
    return last[last["gap"].abs() > NormalDist().inv_cdf(0.975) * last["se"]]
