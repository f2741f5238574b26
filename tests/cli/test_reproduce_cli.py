"""`dvae-bench reproduce`: a tiny protocol from its forecast to its table, what is reused, and what is refused."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from command_line import Command
from dvae_bench import load
from dvae_bench.bench import protocols

TINY = """
about = "Two estimators."
citation = "Nobody 2000"
table = "Table 1"
numbers = "verified"
data = "mnist-5k"
task = "mnist-vae"
steps = 12
metric = "-elbo_train"
select = "best train"
selection_seeds = [1000]
seeds = 3
[values]
arch = "linear"
batch = 10
[sweep]
lr = [1e-4, 1e-2]
[settings]
one = {}
[[methods]]
method = "RLOO"
estimator = "rloo"
published = { one = [200.0, 1.0] }
[[methods]]
method = "Annealed GS"
estimator = "gumbel-softmax:tau=1.0,rate=1e-3"
published = { one = [100.0, 1.0] }
[[methods]]
method = "ARSM"
estimator = "arsm"
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.mark.usefixtures("no_figures")
class TestReproduce:
    def test_a_full_run_is_a_reproduction_and_a_second_costs_nothing(
        self, command: Command, tiny: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "out"
        ended = command("reproduce", tiny, "-o", folder)
        assert ended.code == 0
        assert "15 cells of 12 steps" in ended.out and "here, estimated from a few steps" in ended.out
        assert "Reproduction of Nobody 2000" in ended.out and "unsupported" in ended.out
        table = pd.read_csv(folder / "tables" / "reproduction.csv").set_index("method")
        assert table["status"].to_list() == ["reproduction", "reproduction", "2 unsupported; no number published"]
        assert table["chosen"].to_list()[0].startswith("rloo lr=0.") and table["difference"].notna().sum() == 2
        again = command("reproduce", tiny, "-o", folder)
        assert "estimated" not in again.out, "nothing is left to time"
        assert "cells: 6 reused" in again.out and f"page: {folder / 'index.html'}" in again.out
        assert pd.read_csv(folder / "tables" / "reproduction.csv").set_index("method").equals(table)

    def test_a_run_scaled_down_is_no_reproduction(self, command: Command, tiny: Path, tmp_path: Path) -> None:
        ended = command("reproduce", tiny, "--steps", 4, "--seeds", 2, "-e", "RLOO", "-e", "gumbel-*", "-o", tmp_path)
        assert ended.code == 0
        assert "scaled down to 4 of 12 steps, 2 of 3 seeds: no reproduction" in ended.out
        assert "Reproduction of" not in ended.out and "rate=0.003" in ended.out and "arsm" not in ended.out
        text = (tmp_path / "tables" / "reproduction.csv").read_text()
        assert text.count("scaled down") == 2

    def test_a_budget_keeps_its_scale(self, command: Command, tiny: Path, tmp_path: Path) -> None:
        first = command("reproduce", tiny, "--budget", "20s", "-o", tmp_path)
        scale = json.loads((tmp_path / "context.json").read_text())["reproduction"]["scale"]
        second = command("reproduce", tiny, "--budget", "20s", "-o", tmp_path)
        assert first.code == second.code == 0
        assert json.loads((tmp_path / "context.json").read_text())["reproduction"]["scale"] == scale
        assert "reused" in second.out and " ok" not in second.out.splitlines()[-2]

    def test_a_search_without_a_result_ends_with_the_reason(self, command: Command, tiny: Path, tmp_path: Path) -> None:
        ended = command("reproduce", tiny, "-e", "ARSM", "-o", tmp_path / "out")
        assert "2 unsupported" in ended.out and "ARSM" in ended.out and "Traceback" not in ended.out
        assert not (tmp_path / "out" / "tables" / "search.csv").exists()

    def test_dry_run_measures_nothing(self, command: Command, tiny: Path, tmp_path: Path) -> None:
        ended = command("reproduce", tiny, "--dry-run", "-o", tmp_path / "none")
        assert ended.code == 0 and "15 cells of 12 steps, 180 steps in all" in ended.out
        assert not (tmp_path / "none").exists()

    def test_a_dry_run_of_two_minutes_plans_within_them(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "long.toml"
        path.write_text(TINY.replace("steps = 12", "steps = 1000000"))
        ended = command("reproduce", path, "--budget", "2m", "--dry-run", "-o", tmp_path)
        assert ended.code == 0 and "of 1000000 steps" in ended.out
        seconds, unit = ended.out.split("about ")[1].split()[:2]
        assert float(seconds) * {"s": 1, "min": 60}[unit] <= 120

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--steps", "13"], ["tiny has 12 steps", "at most"]),
            (["--budget", "soon"], ["'soon' is not a duration"]),
            (["--budget", "0.001s"], ["one step of each cell", "-e"]),
            (["-e", "RELAX"], ["tiny has no method 'RELAX'"]),
            (["--trials", "2"], ["tiny searches a grid", "--trials of at most 1"]),
        ],
    )
    def test_bad_options_are_refused(
        self, command: Command, tiny: Path, tmp_path: Path, arguments: list[str], words: list[str]
    ) -> None:
        assert command("reproduce", tiny, "-o", tmp_path, *arguments).refused(*words)


RANDOM = """
about = "Two estimators in two settings, searched at random."
citation = "Nobody 2000"
table = "Table 2"
numbers = "verified"
data = "mnist-5k"
task = "mnist-vae"
steps = 12
metric = "-iw_test"
samples = 10
select = "best valid"
trials = 3
selection_seeds = [1000]
seeds = 1
[assumed]
networks = "linear"
"search ranges" = "two decades"
[values]
arch = "linear"
batch = 10
split = "50k/10k/10k"
[sweep]
lr = "1e-4..1e-2"
[settings]
"B=10" = {}
"B=20" = { batch = 20 }
[[methods]]
method = "RLOO"
estimator = "rloo"
published = { "B=10" = 200.0, "B=20" = 190.0 }
[[methods]]
method = "GS"
estimator = "gumbel-softmax:tau={0.1..1}"
published = { "B=10" = 100.0, "B=20" = 90.0 }
"""


@pytest.mark.usefixtures("no_figures")
class TestSettings:
    def test_one_setting_is_run_and_only_its_reports_have_the_bound(self, command: Command, tmp_path: Path) -> None:
        path, folder = tmp_path / "random.toml", tmp_path / "out"
        path.write_text(RANDOM)
        ended = command("reproduce", path, "--setting", "B=2*", "--trials", 2, "-o", folder)
        assert ended.code == 0 and "B=10" not in ended.out
        assert "B=20: 6 cells, about" in ended.out and "(training" in ended.out
        rows = load(folder).rows
        assert set(rows["task_batch"]) == {20} and set(rows["seed"]) == {0, 1000}
        of_trials, of_reports = (set(rows[rows["seed"] == seed]["metric"]) for seed in (1000, 0))
        assert {"iw_test", "elbo_test", "elbo_train", "elbo_valid", "var_cut", "bias_reference"} <= of_reports
        assert "elbo_valid" in of_trials and not of_trials & {"iw_test", "elbo_test", "elbo_train", "var_cut"}
        assert len(rows[(rows["seed"] == 1000) & (rows["metric"] == "elbo_valid")]) == 4
        search = pd.read_csv(folder / "tables" / "search.csv").set_index("method")
        assert search["trials"].to_list() == [2, 2] and (search["gain"] >= 0).all()
        assert "scaled down to 2 of 3 trials; networks and search ranges assumed: no reproduction" in ended.out

    def test_at_full_length_the_heading_says_what_is_assumed(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "random.toml"
        path.write_text(RANDOM)
        ended = command("reproduce", path, "--setting", "B=10", "-e", "RLOO", "-o", tmp_path / "out")
        assert "random: full length; networks and search ranges assumed: no reproduction of Nobody" in ended.out
        table = pd.read_csv(tmp_path / "out" / "tables" / "reproduction.csv")
        assert table["status"].to_list() == ["networks and search ranges assumed"] and table["ours"].notna().all()

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--setting", "B=30"], ["no setting 'B=30'", "'B=10', 'B=20'"]),
            (["--trials", "4"], ["random has 3 trials", "at most 3"]),
        ],
    )
    def test_bad_options_are_refused(
        self, command: Command, tmp_path: Path, arguments: list[str], words: list[str]
    ) -> None:
        path = tmp_path / "random.toml"
        path.write_text(RANDOM)
        assert command("reproduce", path, "-o", tmp_path, *arguments).refused(*words)

    @pytest.mark.full
    def test_the_forecast_is_within_a_factor_of_what_comes(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Training and evaluation, with its bound, each in seconds of the processor, which other processes on the
        machine do not change: within a factor of 1.5."""
        monkeypatch.setattr(time, "perf_counter", time.process_time)
        path = tmp_path / "random.toml"
        path.write_text(RANDOM.replace("steps = 12", "steps = 1500").replace("samples = 10", "samples = 500"))
        found = []
        for arguments in (["--dry-run"], []):
            ended = command("reproduce", path, "--setting", "B=20", "-o", tmp_path / "out", *arguments)
            assert ended.code == 0
            found.append(ended.out)
        parts = re.search(r"B=20: 8 cells, about .* \(training (\d+) s, evaluation (\d+) s\)", found[0])
        assert parts is not None
        rows = load(tmp_path / "out").rows
        trained = rows[rows["metric"] == "seconds"].groupby(["estimator", "task", "seed"])["value"].max().sum()
        took = sum(float(seconds) for seconds in re.findall(r"\((\d+\.\d) s\)", found[1]))
        for name, forecast, real in zip(
            ("training", "evaluation"), map(float, parts.groups()), (trained, took - trained), strict=True
        ):
            assert real / 1.5 < forecast < 1.5 * real, f"{name}: forecast {forecast:.0f} s, took {real:.1f} s"


@pytest.mark.usefixtures("no_figures")
class TestToys:
    def test_a_published_toy_at_full_length(self, command: Command, tmp_path: Path) -> None:
        ended = command("reproduce", "hooper-bias-variance", "-e", "ReinMax*", "-o", tmp_path)
        assert ended.code == 0 and "12 exact bias and variance" in ended.out
        table = pd.read_csv(tmp_path / "tables" / "reproduction.csv").set_index(["setting", "method"])
        assert (table["status"] == "reproduction").all() and len(table) == 24
        assert table.loc[("K=8 seed 0, variance", "ReinMax tau=2"), "ours"] == pytest.approx(74.2551, rel=1e-6)

    def test_a_shorter_training_of_a_toy_is_no_reproduction(self, command: Command, tmp_path: Path) -> None:
        ended = command("reproduce", "hooper-polynomial", "-e", "ST", "--steps", 200, "-o", tmp_path)
        assert ended.code == 0 and "scaled down to 200 of 10000 steps: no reproduction" in ended.out
        table = pd.read_csv(tmp_path / "tables" / "reproduction.csv").set_index("setting")
        assert table["ours"].notna().sum() == 3 and table["seeds"].max() == 10

    def test_a_dry_run_says_how_long_it_takes(self, command: Command, tmp_path: Path) -> None:
        arguments = ["hooper-polynomial", "-e", "ST", "--steps", 200, "-o", tmp_path / "none"]
        ended = command("reproduce", *arguments, "--dry-run")
        assert ended.code == 0 and re.search(r"3 cells to measure, about \d+ s here", ended.out)
        assert not (tmp_path / "none").exists()

    @pytest.mark.full
    def test_the_forecast_is_within_a_factor_of_what_comes(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In seconds of the processor: within a factor of 1.5."""
        monkeypatch.setattr(time, "perf_counter", time.process_time)
        ended = command(
            "reproduce", "hooper-polynomial", "-e", "MVE*", "--setting", "p=2*", "--steps", 2000, "-o", tmp_path
        )
        forecast = float(re.search(r"1 cells to measure, about (\d+) s here", ended.out)[1])
        took = float(re.search(r"\((\d+\.\d) s\)", ended.out)[1])
        assert took / 1.5 < forecast < 1.5 * took, f"forecast {forecast:.0f} s, took {took:.1f} s"

    def test_a_toy_has_no_budget(self, command: Command, tmp_path: Path) -> None:
        ended = command("reproduce", "hooper-polynomial", "--budget", "2m", "-o", tmp_path)
        assert ended.refused("measures toys, which --budget does not scale", "--steps")


def test_unknown_names_are_refused(command: Command, tmp_path: Path) -> None:
    assert command("reproduce", "hoper").refused("no protocol is called 'hoper'")
    path = tmp_path / "wrong.toml"
    path.write_text(TINY.replace('"rloo"', '"rlo"'))
    assert command("reproduce", path).refused("unknown estimator 'rlo'", "nearest: rloo")


def test_protocols_are_listed_and_shown(command: Command) -> None:
    lines = command("list", "protocols").out.splitlines()
    assert [line.split()[0] for line in lines] == protocols.names()
    assert "Table 1" in command("show", "jang-2017-vae").out
    assert json.loads(command("list", "protocols", "--json").out)[0]["about"]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order-mark"])
def test_what_show_prints_of_a_protocol_is_one(command: Command, tmp_path: Path, mark: str) -> None:
    """`show PROTOCOL > mine.toml`, for an editor, and `reproduce mine.toml`."""
    mine = tmp_path / "mine.toml"
    for name in protocols.names():
        mine.write_text(mark + command("show", name).out, encoding="utf-8")
        assert protocols.load(str(mine)) == replace(protocols.load(name), name="mine")
