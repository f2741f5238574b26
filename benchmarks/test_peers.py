"""The time of a training step of Storchastic and Pyro over ours, for the same estimator.

Each pair runs in a process of its own, because both packages patch torch on import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from peer_steps import PAIRS

SCRIPT = Path(__file__).with_name("peer_steps.py")
MODULES = {"storchastic": "storch", "pyro-ppl": "pyro"}


@pytest.mark.parametrize(("peer", "ours", "theirs", "arch"), PAIRS, ids=[f"{peer}-{ours}" for peer, ours, *_ in PAIRS])
def test_step_of_a_peer(benchmark: Callable, peer: str, ours: str, theirs: str, arch: str) -> None:
    if find_spec(MODULES[peer]) is None:
        pytest.skip(f"{peer} is not installed (extra `peers`)")
    benchmark.group = f"training step of {peer}, {arch}"
    command = [sys.executable, "-W", "ignore", str(SCRIPT), peer, ours, theirs, arch]

    def measure() -> None:
        environment = {"DVAE_BENCH_DATA": "embedded"} | os.environ
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        benchmark.extra_info["over_ours"] = json.loads(done.stdout.splitlines()[-1])

    benchmark.pedantic(measure, rounds=1, iterations=1)
