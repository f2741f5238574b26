"""Every registered estimator passes `dvae-bench check`: one test for each property, but for the device's."""

from __future__ import annotations

import pytest
from dvae_bench.bench.check.suite import PROPERTIES, try_kinds
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, Plugin


@pytest.mark.parametrize("property_", PROPERTIES)
@pytest.mark.parametrize("plugin", list(ESTIMATORS), ids=lambda plugin: plugin.name)
def test_every_estimator_conforms(plugin: Plugin, property_: str) -> None:
    result = try_kinds(plugin, Name(plugin.name), property_, PROPERTIES[property_])
    assert not result.failed, result.text
    if result.status == "skipped":
        pytest.skip(result.text)
