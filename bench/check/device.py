"""No constants on the CPU and no host syncs, tested without an accelerator: see fake_device.py."""

from __future__ import annotations

import importlib

import torch

from .case import Case, Failed, Skipped

PRIVATE = {
    "torch._subclasses.fake_tensor": "FakeTensorMode",
    "torch.utils.backend_registration": "_setup_privateuseone_for_python_backend",
}


def device(case: Case) -> str:
    """It trains on a device without numbers, in train() and eval(): every tensor is on it, without host syncs."""
    for module, name in PRIVATE.items():
        if not hasattr(importlib.import_module(module), name):
            raise Skipped(f"this torch has no {module}.{name}, a private API that the fake device needs")
    from .fake_device import control, register, steps

    register()
    if fault := control():
        raise Skipped(f"the fake device does not work with torch {torch.__version__} here: {fault}")
    if wrong := steps(case):
        raise Failed(f"on a device that is not the CPU, {wrong}")
    return ""
