"""The device rules: no CPU constants and no host syncs in estimators, tasks and steps, shown with no accelerator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

ALONE = [
    f"{plugin.name}-{kind}-{mode}"
    for plugin in ESTIMATORS
    for kind in plugin.facts["latents"]
    for mode in ("train", "eval")
]
STEPS = [f"{plugin.name}-vae-{arch}" for plugin in ESTIMATORS for arch in ("linear-sampled", "categorical-analytic")]
TOYS = [f"toy-{plugin.name}" for plugin in TASKS if plugin.name != "mnist-vae"]
CASES = [*ALONE, *STEPS, *TOYS, "toy-bit-table:extension=multilinear"]
PRIVATE = {
    "torch._subclasses.fake_tensor": "FakeTensorMode",
    "torch.utils.backend_registration": "_setup_privateuseone_for_python_backend",
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """Every case of fake_device.py, run in one process: "" or what went wrong."""
    for module, name in PRIVATE.items():
        if not hasattr(pytest.importorskip(module), name):
            pytest.skip(f"this torch has no {module}.{name}, a private API that the fake device needs")
    script = Path(__file__).with_name("fake_device.py")
    answer = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_runs_on_a_device_that_does_not_exist(case: str, outcomes: dict[str, str]) -> None:
    assert outcomes[case] == ""


@pytest.mark.parametrize(
    ("fault", "error"), [("ConstantOnTheCpu", "FakeTensorDeviceMismatchError"), ("HostSync", "DataDependentOutput")]
)
def test_a_planted_fault_is_caught(fault: str, error: str, outcomes: dict[str, str]) -> None:
    assert error in outcomes[f"planted-{fault}"]
    assert error in outcomes[f"planted-{fault}-vae"]
