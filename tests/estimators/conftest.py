"""The referee as these tests use it: gradient draws of one estimator on one toy, judged in every group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from dvae_bench.bench import statistics as st
from dvae_bench.bench.draws import Draws, Layers, draw_gradients
from dvae_bench.bench.settings import DrawSettings
from dvae_bench.estimators.contract import Estimator, Unsupported
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import TASKS


@dataclass(frozen=True)
class Findings:
    """p: of "unbiased" in each group. detectable: the smallest relative scale error that would have shown there."""

    draws: Draws
    p: dict[str, float]
    detectable: dict[str, float]


Examine = Callable[..., Findings]


def _examine(cls: type[Estimator], task: str, rows: int = 300, **values: Any) -> Findings:
    """64 blocks of `rows` draws of an estimator class on a task named as on the command line; seed 0."""
    name = Name.parse(task)
    toy = TASKS.find(name.family).load()(**name.values)
    settings = DrawSettings(rows=rows, elements=2e7 * rows / 300, tuning_steps=20, tuning_rows=32)
    try:
        layers = Layers(cls, values, toy, torch.device("cpu"))
    except Unsupported as reason:
        pytest.skip(str(reason))
    draws = draw_gradients(layers, toy, settings, seed=0)
    f_scale = float(draws.moments["value"].rms.max())
    judged = {group: (moments, draws.exact[group], f_scale) for group, moments in draws.moments.items()}
    return Findings(
        draws,
        {group: st.bias_p_value(*case) for group, case in judged.items()},
        {group: st.smallest_detectable_bias(*case) for group, case in judged.items()},
    )


@pytest.fixture(scope="session")
def examine() -> Examine:
    return _examine
