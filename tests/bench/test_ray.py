"""Two Ray nodes in a network of their own, one killed in mid-run: every cell is measured once, to the same numbers."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvae_bench.bench.store.store import Store
from pandas.testing import assert_frame_equal
from tiny import numbers

ALONE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def missing() -> str:
    """What this machine lacks for a cluster in a network of its own."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed"
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        return "no network namespaces here (unshare --net)"
    return ""


@pytest.mark.full
def test_a_node_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """About a minute. Its draws and training are those of one process, bit for bit."""
    if reason := missing():
        pytest.skip(reason)
    script = Path(__file__).parents[1] / "ray_process.py"
    ended = subprocess.run([*ALONE, sys.executable, script, tmp_path], capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout.splitlines()[-1])

    assert report["counts"] == {"ok": 44} and report["again"] == {"reused": 44}
    assert len({name for name, _ in report["reported"]}) == len(report["reported"]) == 44, "each cell ends once"
    assert report["marks of the second node, at its death"] > 0, "it had measured some"
    assert report["isolated"] == {"ok": 2}
    assert report["deadly"] == {"error": 1}
    assert "dvae-bench, a plugin or torch differs" in report["other code"]
    assert "has mnist-5k, not mnist;" in report["other data"]

    ray, here = (Store(tmp_path / name) for name in ("ray", "here"))
    rows = ray.rows()
    reason = rows.loc[rows["status"] == "error", "reason"].item()
    assert reason.startswith("its worker or node was lost (WorkerCrashedError)")
    assert len(list((tmp_path / "marks").iterdir())) >= 20 + 3, "a lost cell is measured again, one that kills thrice"
    same = numbers(ray).query("status != 'error' and task != 'bit:d=3'").reset_index(drop=True)
    assert_frame_equal(same, numbers(here), check_exact=True)
    assert set(rows["source"]) == {"draws", "steps", "clock"}
