"""The referee as these tests use it: gradient draws of one estimator on one toy, judged in every group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dvae_bench.bench.check.bias import Findings, examine, make
from dvae_bench.estimators.contract import Estimator, Unsupported
from dvae_bench.estimators.names import Name

Examine = Callable[..., Findings]


def _examine(cls: type[Estimator], task: str, rows: int = 300, **values: Any) -> Findings:
    """64 blocks of `rows` draws of an estimator class on a task named as on the command line; seed 0."""
    try:
        return examine(cls, values, make(Name.parse(task)), rows)
    except Unsupported as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session", name="examine")
def examine_fixture() -> Examine:
    return _examine
