"""No constants on the CPU and no host syncs, tested without an accelerator: see fake_device.py."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence

import torch

from ...estimators.names import Name
from ...estimators.registry import Plugin
from .case import Case, Failed, Skipped

PRIVATE = {
    "torch._subclasses.fake_tensor": "FakeTensorMode",
    "torch.utils.backend_registration": "_setup_privateuseone_for_python_backend",
}


class Device:
    """A process that takes training steps of several estimators on the fake device."""

    def __init__(self, estimators: Sequence[tuple[Plugin, Name]]) -> None:
        asked = [
            [[p.name, p.family, p.module, p.attribute, str(p.path or "")], str(name), name.values]
            for p, name in estimators
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.fake_device", json.dumps(asked)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    @functools.cached_property
    def outcomes(self) -> dict[str, dict[str, str]]:
        """For each name and kind of latent "" or the error, in one line; under "" those of the control. Waits."""
        out, err = self.process.communicate()
        if self.process.returncode:
            raise Failed(f"the process of the fake device died: {(err.strip() or 'killed').splitlines()[-1]}")
        return json.loads(out.splitlines()[-1])

    def ran(self, case: Case) -> str:
        """It trains on a device without numbers, in train() and eval(): every tensor is on it, without host syncs."""
        for module, name in PRIVATE.items():
            if not hasattr(importlib.import_module(module), name):
                raise Skipped(f"this torch has no {module}.{name}, a private API that the fake device needs")
        if fault := self.outcomes[""][""]:
            raise Skipped(f"the fake device does not work with torch {torch.__version__} here: {fault}")
        outcome = self.outcomes[str(case.name)]
        wrong = outcome[case.kind] if case.kind in outcome else outcome[""]
        if wrong:
            raise Failed(f"on a device that is not the CPU, {wrong}")
        return ""
