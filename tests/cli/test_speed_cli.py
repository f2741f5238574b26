"""The options for the speed paths: how results name them, and when they are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from command_line import Command
from dvae_bench.bench.store.store import Store

from .test_reproduce_cli import TINY


@pytest.mark.usefixtures("tiny_presets", "no_figures")
class TestRun:
    def test_runs_with_and_without_a_speed_path_stand_side_by_side(self, command: Command, tmp_path: Path) -> None:
        both = ("-e", "rloo", "-t", "bit", "-t", "mnist-vae:arch=linear,batch=8", "-o", tmp_path)
        for switches in ([], ["--autocast", "bf16"]):
            ended = command("run", *both, *switches)
            assert ended.code == 0
        assert "2 finished already" in ended.out, "toys are the same cells"
        assert set(Store.open(tmp_path).rows()["task"]) == {
            "bit",
            "mnist-vae:arch=linear,batch=8",
            "mnist-vae:arch=linear,autocast=bf16,batch=8",
        }
        assert "autocast=bf16" in (tmp_path / "index.html").read_text()
        assert json.loads((tmp_path / "context.json").read_text())["command"][-2:] == ["--autocast", "bf16"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["-t", "mnist-vae", "--cuda-graphs"], ["needs a CUDA device", "leave cuda_graphs out"]),
            (["-t", "mnist-vae", "--cuda-graphs", "--compile"], ["choose one of them"]),
            (["-t", "bit", "--compile"], ["--compile is for training tasks", "-t mnist-vae"]),
            (["-t", "mnist-vae", "--autocast", "bf8"], ["autocast must be one of no, bf16"]),
        ],
    )
    def test_speed_paths_that_cannot_be_taken_are_refused(
        self, command: Command, tmp_path: Path, arguments: list[str], words: list[str]
    ) -> None:
        assert command("run", "-e", "rloo", "-o", tmp_path / "none", *arguments).refused(*words)
        assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("no_figures")
class TestReproduce:
    def test_a_speed_path_is_stated_as_a_difference_from_the_protocol(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "tiny.toml"
        path.write_text(TINY)
        ended = command(
            "reproduce", path, "-e", "RLOO", "--steps", 2, "--seeds", 1, "--autocast", "bf16", "-o", tmp_path / "out"
        )
        assert ended.code == 0
        assert "done otherwise here: training takes the speed path autocast=bf16" in ended.out
        assert Store.open(tmp_path / "out").rows()["task"].str.contains("autocast=bf16").all()
        table = pd.read_csv(tmp_path / "out" / "tables" / "reproduction.csv")
        assert len(table) == 1 and table["ours"].notna().all()
