"""Estimators, tasks and training steps put no constants on the CPU and never wait for the device; shown without one."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch
from dvae_bench.bench.check import suite
from dvae_bench.bench.check.device import PRIVATE
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS
from packaging.version import Version

SCRIPT = Path(__file__).with_name("fake_device.py")
PLANTED = {  # the error's words: its class has a name of its own only since torch 2.12
    "planted-ConstantOnTheCpu": r"two (different )?devices,? fakegpu:0",
    "planted-HostSync": "DataDependentOutput",
}


@pytest.fixture(autouse=True)
def _private_api() -> None:
    for module, name in PRIVATE.items():
        if not hasattr(importlib.import_module(module), name):
            pytest.skip(f"this torch has no {module}.{name}, a private API that the fake device needs")


def test_every_estimator_runs_on_a_device_that_does_not_exist() -> None:
    with closing(suite.Tester()) as tester:
        results = [result for plugin in ESTIMATORS for result in tester.results(suite.run_on_device, Name(plugin.name))]
    assert len(results) == len(list(ESTIMATORS))
    assert not [str(result) for result in results if result.status != "ok"]


GAMMA = [
    f"{name}-{family}"
    for name in ("pathwise", "reinforce")
    for family in ("student-t", "gamma", "dirichlet", "beta", "chi-squared", "f")
]
"""The cases that draw from a gamma distribution."""


def test_tasks_and_steps_run_on_a_device_that_does_not_exist() -> None:
    """Every case of fake_device.py, run in one process; the planted faults are caught."""
    answer = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr
    outcomes = json.loads(answer.stdout.splitlines()[-1])
    for planted, error in PLANTED.items():
        assert re.search(error, outcomes.pop(planted))
    wrong = {case: error for case, error in outcomes.items() if error}
    if Version(torch.__version__) < Version("2.13"):  # whose fake device has no kernel for gamma draws
        assert all("aten::empty_strided" in wrong.pop(case) for case in GAMMA)
    assert outcomes and not wrong
