"""Start-up time of the commands that need no torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "tasks"], ["show", "rebar"]])
def test_startup(benchmark: Callable, arguments: list[str]) -> None:
    benchmark.group = "start-up"
    command = [sys.executable, "-m", "dvae_bench.cli", *arguments]
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=9, iterations=1)
