"""scripts/gpu_check.sh, shown without an accelerator: stages that fail or hang, and the faults that each check sees."""

from __future__ import annotations

import csv
import importlib.util
import math
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from dvae_bench.estimators.registry import ESTIMATORS

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
CPU = torch.device("cpu")
STAGES = ["syncs", "core", "graphs", "paths", "quick", "tests"]
FAKE_PYTHON = """#!/usr/bin/env bash
# Stands in for Python: one stage hangs, one fails, a run leaves a folder.
case "$*" in
    *"gpu_check.py syncs"*) exec sleep 60 ;;
    *"gpu_check.py core"*) mkdir "$4/core" && echo cell > "$4/core/cell" ;;
    *"gpu_check.py graphs"*) exit 7 ;;
    *"gpu_check.py machine"*) exit "${MACHINE:-0}" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("timeout") is None, reason="no timeout command, of GNU coreutils")


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def check(python: Path, results: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), "GPU_CHECK_SECONDS": "10"} | environment
    command = ["bash", str(SCRIPTS / "gpu_check.sh"), "cpu", str(results)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


class TestDriver:
    def test_a_stage_that_hangs_and_one_that_fails_leave_the_others_running(self, tmp_path: Path) -> None:
        answer = check(executable(tmp_path / "python", FAKE_PYTHON), results := tmp_path / "results")
        assert answer.returncode == 1
        ended = re.findall(r"^== (\w+): (.*) after \d+ s$", answer.stdout, re.MULTILINE)
        assert [stage for stage, _ in ended] == STAGES
        assert dict(ended) == dict.fromkeys(STAGES, "ok") | {
            "syncs": "OUT OF TIME",
            "graphs": "FAILED with exit code 7",
        }
        assert "2 of 6 stages went wrong" in answer.stdout
        with tarfile.open(results / "core.tar.gz") as packed:
            assert packed.getnames() == ["core", "core/cell"]
        assert sorted(path.name for path in results.iterdir()) == ["core.tar.gz", "log.txt"]

    @pytest.mark.full
    def test_the_limits_fit_into_the_time(self, tmp_path: Path) -> None:
        """Also where every stage takes all of its own: each limit is a share of what is left."""
        python = executable(
            tmp_path / "python", '#!/bin/sh\ncase "$*" in *machine*|*needs*) ;; *) exec sleep 60 ;; esac\n'
        )
        answer = check(python, tmp_path / "results", GPU_CHECK_SECONDS="12")
        limits = [int(limit) for limit in re.findall(r"at most (\d+) s", answer.stdout)]
        assert len(limits) == 6 and sum(limits) <= 12 + 2, "of the last seconds each takes at least one"
        assert answer.stdout.count("OUT OF TIME") == 12 and answer.returncode == 1

    def test_a_device_that_is_absent_is_reported_before_any_stage(self, tmp_path: Path) -> None:
        answer = check(executable(tmp_path / "python", FAKE_PYTHON), tmp_path / "results", MACHINE="2")
        assert answer.returncode == 2 and "==" not in answer.stdout

    def test_all_missing_packages_are_reported_at_once(self, tmp_path: Path) -> None:
        """A Python without its site-packages."""
        python = executable(tmp_path / "python", f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
        answer = check(python, tmp_path / "results")
        assert answer.returncode == 2 and not answer.stdout and not (tmp_path / "results").exists()
        (line,) = answer.stderr.splitlines()
        assert re.search(
            r"lacks torch, .*pooch, .*tabulate, dvae-bench, pytest; run `pip install torch .* \. pytest`", line
        )


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gpu_check() -> Any:
    return script("gpu_check")


def test_nothing_is_missing_here() -> None:
    needs = script("gpu_needs")
    assert needs.missing(needs.needed()) == []
    assert {"torch", "pooch", "dvae-bench", "pytest"} <= set(needs.needed())


def test_what_a_package_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = script("gpu_needs")
    (tmp_path / "needy.py").write_text("import platform_folders.inner\n")
    (tmp_path / "needy-1.dist-info").mkdir()
    (tmp_path / "needy-1.dist-info" / "METADATA").write_text("Name: needy\nVersion: 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert needs.missing(["needy", "no-such-package", "torch"]) == ["platform-folders", "no-such-package"]


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestSyncs:
    @pytest.fixture(autouse=True)
    def two_on_one_task(self, gpu_check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(gpu_check.PRESETS, "quick", replace(gpu_check.PRESETS["quick"], tasks=("bit",)))
        monkeypatch.setattr(gpu_check, "ESTIMATORS", [ESTIMATORS.find(name) for name in ("rloo", "vq-st")])

    def test_gradients_are_drawn(self, gpu_check: Any, tmp_path: Path) -> None:
        assert not gpu_check.syncs(CPU, tmp_path)
        found = lines(tmp_path / "syncs.csv")
        assert [(line["estimator"], line["outcome"]) for line in found] == [("rloo", "ok"), ("vq-st", "unsupported")]

    def test_a_sync_fails(self, gpu_check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Watched(AbstractContextManager[None]):
            def __enter__(self) -> None:
                raise RuntimeError("called a synchronizing CUDA operation")

            def __exit__(self, *error: object) -> None: ...

        monkeypatch.setattr(gpu_check, "no_sync", lambda device: Watched())
        assert gpu_check.syncs(CPU, tmp_path)
        assert lines(tmp_path / "syncs.csv")[0]["reason"] == "RuntimeError: called a synchronizing CUDA operation"

    def test_cuda_is_asked_to_raise_inside_only(self, gpu_check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        modes: list[str] = []
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
        with pytest.raises(ZeroDivisionError), gpu_check.no_sync(torch.device("cuda")):
            assert modes == ["error"]
            raise ZeroDivisionError
        assert modes == ["error", "default"]


class TestAgainstPlain:
    def outcomes(self, gpu_check: Any, folder: Path, rounding: float) -> list[dict[str, str]]:
        found = gpu_check.Findings(folder / "paths.csv")
        tasks = ["mnist-vae:arch=linear,batch=8", "mnist-vq:batch=8"]
        gpu_check.against_plain(found, CPU, rounding, tasks, ["reinforce", "vq-st"], autocast="bf16")
        return lines(folder / "paths.csv")

    def test_each_estimator_on_the_first_task_it_supports(self, gpu_check: Any, tmp_path: Path) -> None:
        found = self.outcomes(gpu_check, tmp_path, gpu_check.BFLOAT16)
        assert [(line["task"].split(":")[0], line["estimator"], line["outcome"]) for line in found] == [
            ("mnist-vae", "reinforce", "ok"),
            ("mnist-vae", "vq-st", "unsupported"),
            ("mnist-vq", "vq-st", "ok"),
        ]
        assert all(float(found[0][column]) > 0 for column in ("first error", "largest error", "ms", "plain ms"))

    def test_another_loss_fails(self, gpu_check: Any, tmp_path: Path) -> None:
        """bfloat16 held to the rounding of float32."""
        first = self.outcomes(gpu_check, tmp_path, gpu_check.SUM_OF_784)[0]
        assert first["outcome"] == "failed" and "the loss is off by" in first["reason"]

    def test_other_noise_fails(self, gpu_check: Any, tmp_path: Path) -> None:
        """Half as many bits, with any loss allowed."""
        found = gpu_check.Findings(tmp_path / "paths.csv")
        gpu_check.against_plain(found, CPU, math.inf, ["mnist-vae:arch=linear,batch=8"], ["reinforce"], n=100)
        assert found.failed() and lines(found.path)[0]["reason"] == "RuntimeError: the two steps drew different noise"

    def test_a_stage_in_which_nothing_was_ok_failed(self, gpu_check: Any, tmp_path: Path) -> None:
        found = gpu_check.Findings(tmp_path / "paths.csv")
        gpu_check.against_plain(found, CPU, math.inf, ["mnist-vae:arch=linear,batch=8"], ["vq-st"], n=100)
        assert found.failed() and [line["outcome"] for line in lines(found.path)] == ["unsupported"]


class TestFreshNoise:
    @staticmethod
    def pretend(fresh: bool) -> Callable[..., Any]:
        def capture(call: Callable[[], torch.Tensor], warm_up: object, device: torch.device) -> Any:
            answer = call()
            return (lambda: answer.copy_(call())) if fresh else (lambda: None), answer

        return capture

    def test_replays_that_differ(self, gpu_check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_check, "capture", self.pretend(fresh=True))
        assert gpu_check.fresh_noise(CPU) == []

    def test_replays_of_the_same_noise_fail(self, gpu_check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_check, "capture", self.pretend(fresh=False))
        with pytest.raises(RuntimeError, match="drew the same noise"):
            gpu_check.fresh_noise(CPU)


def test_nothing_is_captured_on_the_cpu(gpu_check: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not gpu_check.graphs(CPU, tmp_path)
    assert capsys.readouterr().out == "nothing to capture on the CPU\n"
