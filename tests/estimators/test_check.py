"""The conformance suite catches each planted fault, by the property that it breaks and by no other."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from dvae_bench.bench.check import check, fake_device
from dvae_bench.bench.check.case import Case, Failed, Skipped
from dvae_bench.bench.check.device import device
from dvae_bench.bench.check.rows import rows
from dvae_bench.bench.check.suite import DEVICE, PROPERTIES
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, Plugin
from plugin_files import estimator

FILE, MODULE = Path(__file__).with_name("faulty.py"), "dvae_bench_plugin_faulty"


def plugins() -> dict[str, Plugin]:
    """Every faulty estimator as third-party code registers it: without facts read beforehand."""
    Plugin("", "third-party", MODULE, "NoFault", FILE).load()
    found = [cls for cls in vars(sys.modules[MODULE]).values() if hasattr(cls, "caught_by")]
    return {cls.name: Plugin(cls.name, "third-party", MODULE, cls.__name__, FILE) for cls in found}


FAULTY = plugins()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ESTIMATORS, "extra", dict(FAULTY))


def test_every_fault_is_caught_by_its_property_alone() -> None:
    results = list(check([Name(name) for name in FAULTY]))
    failed = [result for result in results if result.failed]
    caught = {name: {result.about for result in failed if result.estimator == name} for name in FAULTY}
    assert caught == {name: {plugin.load().caught_by} - {""} for name, plugin in FAULTY.items()}
    assert all(result.text and "\n" not in result.text for result in failed)
    assert Counter(result.about for result in results if result.estimator == "no-fault") == Counter(
        [*PROPERTIES, DEVICE]
    )


def test_a_fake_device_that_does_not_work_blames_no_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a torch runs no step on the fake device, not even a built-in estimator's, nothing can be said of others."""
    fault = "train(): RuntimeError: Unhandled FakeTensor Device Propagation"
    case = Case(FAULTY["no-fault"], Name("no-fault"), FAULTY["no-fault"].load(), "bernoulli")
    monkeypatch.setattr(fake_device, "register", lambda: None)
    monkeypatch.setattr(fake_device, "steps", lambda case: fault)
    monkeypatch.setattr(fake_device, "control", lambda: fault)
    with pytest.raises(Skipped, match=f"the fake device does not work with torch .*: {re.escape(fault)}"):
        device(case)
    monkeypatch.setattr(fake_device, "control", lambda: "")
    with pytest.raises(Failed, match=re.escape(fault)):
        device(case)


def test_every_property_has_a_fault() -> None:
    assert {plugin.load().caught_by for plugin in FAULTY.values()} == {*PROPERTIES, DEVICE, ""}


def test_rows_that_share_their_noise_are_caught() -> None:
    shared = Plugin("shared-noise", "third-party", MODULE, "SharedNoise", FILE)
    with pytest.raises(Failed, match="shared by all"):
        rows(Case(shared, Name("shared-noise"), shared.load(), "bernoulli"))


def test_facts_of_a_file_must_be_literals(plugin: Callable[..., Path]) -> None:
    plugin("computed", facts='cost = "1 evaluation"\nreference = "the tests".upper()')
    (result,) = check([Name("computed")])
    assert result.failed and "reference" in result.text


def test_what_raises_is_reported_with_its_line(plugin: Callable[..., Path]) -> None:
    path = plugin("raises", "1 / 0")
    line = 1 + path.read_text().splitlines().index("        1 / 0")
    results = [result for result in check([Name("raises")]) if result.about == "shapes"]
    assert results[0].failed and "ZeroDivisionError" in results[0].text and f"raises.py:{line}" in results[0].text


def test_what_cannot_be_imported_is_reported(plugin: Callable[..., Path]) -> None:
    plugin("raises", source=estimator("raises") + "raise OSError('no disk')\n")
    (result,) = check([Name("raises")])
    assert result.about == "facts" and "no disk" in result.text
