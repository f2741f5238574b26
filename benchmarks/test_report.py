"""CPU seconds and memory of a report on 10,080 lines: copies of the cells of results/reference/baseline, two seeds."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from many_lines import copy
from pytest_benchmark.fixture import BenchmarkFixture

BASELINE = Path(__file__).resolve().parent.parent / "results" / "reference" / "baseline"


def test_report_of_ten_thousand_lines(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The largest of the children is the report itself: memory is measured in a process of its own."""
    benchmark.extra_info["parts"] = copy(BASELINE, tmp_path / "run", tasks=9, estimators=7, seeds=2)
    command = [sys.executable, "-m", "dvae_bench.cli", "report", str(tmp_path / "run"), "-o", str(tmp_path / "out")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True, "capture_output": True}, rounds=1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    benchmark.extra_info["CPU seconds, of 60"] = spent
    benchmark.extra_info["MB, of 1000"] = after.ru_maxrss / 1e3
