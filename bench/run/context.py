"""The context of a run: everything besides the settings that its numbers may depend on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from ..rows import SCHEMA
from ..sources.timing.telemetry import Telemetry
from ..store.code_hash import ROOT

PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "matplotlib", "typer")


def context(device: torch.device, threads: int, malloc_set: bool) -> dict[str, Any]:
    """Versions, machine, device and numeric flags; plain JSON. malloc_set: as returned by `steady_host`."""
    reading = Telemetry(device).read()
    return {
        "schema": SCHEMA,
        "dvae_bench": version("dvae-bench"),
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
        "git": _git(),
        "command": sys.argv[1:],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "device": str(device),
        "device_name": device_name(device),
        "device_state": asdict(reading) if reading else None,
        "threads": threads,
        "malloc_thresholds_set": malloc_set,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


def device_name(device: torch.device) -> str:
    """The model name of the accelerator, or of the CPU."""
    if device.type == "cpu":
        return cpu_name()
    properties = getattr(torch.get_device_module(device), "get_device_name", None)
    return str(properties(device)) if properties else device.type


def cpu_name() -> str:
    """The model name of the CPU, where the system reports it."""
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git() -> dict[str, Any] | None:
    """The commit of the checkout, and whether it has uncommitted changes; None for an installed package."""
    if not (ROOT / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
