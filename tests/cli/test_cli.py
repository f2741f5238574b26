"""The command line: bad input is refused in one sentence; runs reuse finished cells and print their answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command_line import Command, Ended
from dvae_bench import __version__
from dvae_bench.bench.rows import SCHEMA
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.support import refusal
from dvae_bench.bench.store.store import Store
from dvae_bench.commands.exits import FAILED
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Plugin
from dvae_bench.tasks.vae.datasets import TEST, TRAIN
from plugin_files import REINFORCE, estimator

SCALE = 'hyperparameters = {"scale": {"default": 1.0, "above": 0.0}}'
SCALED = REINFORCE.replace("(expand_right", "self.scale * (expand_right")
HEAVY = ("torch", "scipy", "seaborn", "pandas", "pyarrow", "matplotlib")

IMPORTED_BY = """
import json, sys
from dvae_bench import cli
sys.argv = ["dvae-bench", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as end:
    code = end.code or 0
else:
    code = 0
print(json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


class TestImports:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--help"],
            ["--version"],
            ["run", "--help"],
            ["list"],
            ["list", "tasks"],
            ["list", "protocols"],
            ["list", "--json"],
            ["show", "rebar"],
            ["show", "nothing-like-it"],
        ],
        ids=" ".join,
    )
    def test_light_commands_import_nothing_heavy(self, arguments: list[str], tmp_path: Path) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", IMPORTED_BY, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        code, modules = json.loads(ended.stderr.splitlines()[-1])
        assert code == (2 if "nothing-like-it" in arguments else 0)
        assert not set(HEAVY) & set(modules)


class TestList:
    def test_estimators_are_listed_with_their_parameters(self, command: Command) -> None:
        lines = command("list").out.splitlines()
        assert len(lines) == len(list(ESTIMATORS))
        assert next(line for line in lines if line.startswith("rloo ")).endswith("[n=2]")

    @pytest.mark.parametrize(
        ("kind", "name"), [("estimators", "disarm"), ("tasks", "bit-table"), ("collectors", "variance")]
    )
    def test_every_kind_is_listed_as_json(self, command: Command, kind: str, name: str) -> None:
        facts = {entry["name"]: entry for entry in json.loads(command("list", kind, "--json").out)}
        assert facts[name]["about"] and facts[name]["doc"]

    def test_a_plugin_is_listed_too(self, command: Command, plugin_file: Callable[..., Path]) -> None:
        assert "my-own" in command("list", "--plugin", plugin_file("my-own")).out

    def test_show_gives_the_facts_of_an_estimator(self, command: Command) -> None:
        ended = command("show", "rebar")
        assert ended.code == 0
        assert "Tucker" in ended.out and "3 evaluations" in ended.out and "dv'/dφ" in ended.out
        assert json.loads(command("show", "rebar", "--json").out)["differentiates"] is True

    def test_show_sets_parameters_as_a_table(self, command: Command) -> None:
        """Not as a dict."""
        *_, header, tau, eta = command("show", "rebar").out.splitlines()
        assert header.split() == ["parameter", "default", "allowed", "about"]
        assert re.split(r"\s{2,}", tau.strip()) == [
            "tau", "0.5", "a number > 0.0", "initial temperature of the relaxation, then tuned"
        ]  # fmt: skip
        assert eta.split()[:2] == ["eta", "1.0"] and "{" not in eta
        assert "parameter " not in command("show", "disarm").out
        listed = {each["name"]: each for each in json.loads(command("list", "--json").out)}
        assert listed["rebar"]["hyperparameters"]["tau"]["about"].startswith("initial temperature")

    def test_show_knows_aliases_and_parameters(self, command: Command) -> None:
        assert command("show", "loorf").out.startswith("rloo ")
        assert command("show", "rloo:n=4").out.startswith("rloo ")

    def test_the_version_is_printed(self, command: Command) -> None:
        assert command("--version").out.strip() == __version__

    def test_help_names_every_command(self, command: Command) -> None:
        out = command("--help").out
        assert all(word in out for word in ("run", "list", "show", "report"))


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("run -e rlo -t bit", ["unknown estimator 'rlo'", "nearest: rloo"]),
            ("run -e zz* -t bit", ["no estimator matches 'zz*'"]),
            ("run -e rloo -t bot", ["unknown task 'bot'", "bit"]),
            ("run -e rloo:m=3 -t bit", ["rloo has no parameter 'm'", "its parameters: n"]),
            ("run -e rloo:n=1 -t bit", ["n must be a whole number >= 2, got 1"]),
            ("run -e rloo:n=two -t bit", ["n must be a whole number >= 2, got 'two'"]),
            ("run -e rloo:n -t bit", ["write parameters as name:key=value"]),
            ("run -e gumbel-softmax:tau={.5,0} -t bit", ["tau must be a number", "> 0", "got 0"]),
            ("run -e rloo -t mnist-vae:arch=cubic", ["arch must be one of linear, nonlinear, nonlinear-lrelu"]),
            ("run -e rloo -t bit --preset huge", ["unknown preset 'huge'", "quick, standard, paper"]),
            ("run -e rloo -t bit -x disarm", ["--exclude 'disarm' matches none"]),
            ("run -e rloo -t bit --basket rlo", ["unknown estimator 'rlo'", "nearest: rloo"]),
            ("run -e rloo -t bit --plugin nowhere.py", ["no plugin file nowhere.py"]),
            ("run -e rloo -t bit --target-elbo nan", ["--target-elbo must be a finite number, got nan"]),
            ("list estimator", ["cannot list 'estimator'", "estimators, tasks, collectors, protocols, figures"]),
            ("list --plugin nowhere.py", ["no plugin file nowhere.py"]),
            ("show rebra", ["no plugin or protocol is called 'rebra'", "nearest: rebar"]),
            ("show rloo:n={2,3}", ["names 2 variants"]),
            ("report .", ["holds no results", "give the -o folder of a run"]),
            ("report nowhere", ["nowhere holds no results"]),
            ("report a b", ["give one with -o"]),
            ("figures . --style poster", ["unknown style 'poster'", "paper, notebook, talk"]),
        ],
    )
    def test_bad_input_is_refused_in_one_sentence(
        self, command: Command, arguments: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert command(*arguments.split()).refused(*words)
        assert not list(tmp_path.iterdir()), "a refused command writes nothing"

    def test_an_absent_device_is_refused(
        self, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
        ended = command("run", "-e", "rloo", "-t", "bit", "--device", "cuda", "-o", tmp_path / "r")
        assert ended.refused("no cuda device on this machine", "use --device cpu")

    def test_a_file_without_plugins_is_refused(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "empty.py").write_text("class Estimator:\n    pass\n")
        assert command("list", "--plugin", tmp_path / "empty.py").refused("empty.py holds no plugin", "literal `name`")

    def test_a_plugin_file_that_is_not_python_is_refused(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "odd.py").write_text("def (\n")
        assert command("list", "--plugin", tmp_path / "odd.py").refused("odd.py")

    def test_a_data_folder_without_data_is_refused(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "rloo", "-t", "tiny-vae", "--data-dir", tmp_path, "-o", tmp_path / "r")
        assert ended.refused(str(tmp_path), TRAIN, TEST, "are not both there")

    def test_a_corrupt_data_file_is_refused(self, command: Command, tmp_path: Path) -> None:
        for name in (TRAIN, TEST):
            (tmp_path / name).write_bytes(b"\0" * 800)
        ended = command("run", "-e", "rloo", "-t", "tiny-vae", "--data-dir", tmp_path, "-o", tmp_path / "r")
        assert ended.refused(f"{tmp_path / TRAIN} is not MNIST's", "expected 60000 images", "found 800 bytes")

    @pytest.mark.parametrize("verb", ["run", "report"])
    def test_a_folder_of_a_newer_version_is_refused(self, command: Command, tmp_path: Path, verb: str) -> None:
        Store(tmp_path).write_context({"schema": SCHEMA + 1, "dvae_bench": "9.9.9"})
        arguments = ["report", tmp_path] if verb == "report" else ["run", "-e", "rloo", "-t", "bit", "-o", tmp_path]
        assert command(*arguments).refused(f"schema {SCHEMA + 1}", "9.9.9", __version__, "upgrade")
        assert not list((tmp_path / "cells").iterdir())

    @pytest.mark.parametrize("option", ["--threads", "--seeds"])
    def test_a_mistyped_number_is_refused_before_anything_is_planned(self, command: Command, option: str) -> None:
        ended = command("run", "-e", "rloo", "-t", "bit", "--dry-run", option, "9" * 24)
        assert ended.code == 2 and ended.out == "" and option in ended.err and "1000" in ended.err

    def test_a_circle_of_links_holds_no_results(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "circle").symlink_to("circle")
        assert command("report", tmp_path / "circle").refused("circle holds no results")

    def test_a_damaged_part_is_named_and_left_out(self, command: Command, tmp_path: Path) -> None:
        Store(tmp_path).write_context({"schema": SCHEMA})
        (tmp_path / "cells" / "abc.parquet").write_bytes(b"PAR1")
        ended = command("report", tmp_path)
        assert ended.code == 0 and f"{tmp_path / 'cells' / 'abc.parquet'}; run the command that" in ended.err

    def test_a_damaged_context_is_refused(self, command: Command, tmp_path: Path) -> None:
        Store(tmp_path).write_context({"schema": SCHEMA})
        (tmp_path / "context.json").write_text("{")
        assert command("report", tmp_path).refused("context.json")

    def test_a_process_refuses_as_a_call_does(self, tmp_path: Path) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "dvae_bench.cli", "run", "-e", "rlo"], cwd=tmp_path, capture_output=True, text=True
        )
        assert Ended(ended.returncode, ended.stdout, ended.stderr).refused("unknown estimator 'rlo'")


def applicable(task: str) -> list[str]:
    return [plugin.name for plugin in ESTIMATORS if not refusal(Name(plugin.name), Name.parse(task))]


@pytest.mark.usefixtures("tiny_presets", "no_figures")
class TestRun:
    def test_a_second_run_reuses_what_the_first_measured(self, command: Command, tmp_path: Path) -> None:
        arguments = ["run", "-e", "rloo", "-e", "disarm", "-t", "bit", "-o", tmp_path]
        first = command(*arguments)
        assert first.code == 0
        assert "4 cells: 2 bias and variance, 2 timing; device" in first.out
        assert "0 finished already; 4 to measure" in first.out
        for line in ("[1/4] done rloo on bit, draws", "[4/4] done disarm on bit, clock", "cells: 4 ok"):
            assert line in first.out
        second = command(*arguments)
        assert second.code == 0
        assert "4 finished already; 0 to measure, about 0 s" in second.out
        assert "cells: 4 reused" in second.out and "[1/4]" not in second.out
        third = command(*arguments, "--fresh")
        assert "4 to measure" in third.out and "cells: 4 ok" in third.out

    def test_tables_and_context_are_written(self, command: Command, tmp_path: Path) -> None:
        command("run", "-e", "rloo", "-t", "bit", "-o", tmp_path)
        written = {f"{name}.{end}" for name in ("toys", "efficiency") for end in ("csv", "md", "tex")}
        assert {path.name for path in (tmp_path / "tables").iterdir()} == written
        context = json.loads((tmp_path / "context.json").read_text())
        assert context["dvae_bench"] == __version__ and context["schema"] == SCHEMA and context["threads"] == 1
        assert context["command"][:3] == ["run", "-e", "rloo"]

    def test_more_estimators_measure_only_what_is_new(self, command: Command, tmp_path: Path) -> None:
        command("run", "-e", "rloo", "-t", "bit", "-o", tmp_path)
        ended = command("run", "-e", "rloo", "-e", "disarm", "-t", "bit", "-o", tmp_path)
        assert "cells: 2 ok, 2 reused" in ended.out

    def test_the_table_holds_this_runs_cells_only(self, command: Command, tmp_path: Path) -> None:
        command("run", "-e", "rloo", "-t", "bit", "-o", tmp_path)
        command("run", "-e", "disarm", "-t", "bit", "-o", tmp_path)
        assert pd.read_csv(tmp_path / "tables" / "toys.csv")["estimator"].tolist() == ["disarm"]
        command("report", tmp_path)
        assert set(pd.read_csv(tmp_path / "tables" / "toys.csv")["estimator"]) == {"disarm", "rloo"}

    def test_every_seed_is_drawn_and_one_timed(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "rloo", "-t", "bit", "--seeds", "3", "-o", tmp_path)
        assert "4 cells: 3 bias and variance, 1 timing" in ended.out
        assert set(Store(tmp_path).rows()["seed"]) == {0, 1, 2}

    def test_a_vae_is_trained_and_timed(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "rloo", "-t", "mnist-vae:arch=linear,batch=8", "-o", tmp_path)
        assert ended.code == 0 and "data mnist-5k" in ended.out and "1 training, 1 timing" in ended.out
        table = pd.read_csv(tmp_path / "tables" / "training.csv")
        assert table["data"].tolist() == ["mnist-5k"] and table["elbo_test"].notna().all()

    def test_steps_replace_the_presets(self, command: Command, tmp_path: Path) -> None:
        arguments = ["run", "-e", "rloo", "-t", "mnist-vae:arch=linear,batch=8", "-o", tmp_path]
        command(*arguments, "--steps", "20")
        rows = Store(tmp_path).rows()
        assert sorted(set(rows[rows["metric"] == "elbo_test"]["step"])) == list(range(2, 21, 2))
        assert "1 training" in command(*arguments, "--steps", "30", "--dry-run").out, "other steps are another cell"

    def test_a_target_and_a_basket_are_measured_along_training(self, command: Command, tmp_path: Path) -> None:
        arguments = ["run", "-e", "rloo", "-t", "mnist-vae:arch=linear,batch=8", "-o", tmp_path]
        assert command(*arguments, "--target-elbo", "-100", "--basket", "rebar", "--basket", "arsm").code == 0
        rows = Store(tmp_path).rows()
        basket = rows[rows["collector"] == "basket"]
        assert set(basket["group"]) == {"rebar", "arsm"} and set(basket["metric"]) >= {"var_cut", "bias_encoder"}
        assert set(rows[rows["metric"] == "seconds_to_target"]["status"]) == {"censored"}

    def test_dry_run_measures_nothing(self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "dvae_bench.bench.run.runner.measure_unit", lambda cell, *_: pytest.fail(f"measured {cell}")
        )
        ended = command("run", "-e", "all", "-t", "bit", "-o", tmp_path / "r", "--dry-run")
        cells = 2 * len(applicable("bit"))
        assert ended.code == 0 and f"{cells} to measure" in ended.out
        left_out = 2 * len(list(ESTIMATORS)) - cells
        assert f"{left_out} combinations do not apply: `dvae-bench list support`" in ended.out
        assert not (tmp_path / "r").exists()

    def test_without_arguments_every_estimator_runs_on_the_presets_tasks(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        out = command("run", "--dry-run").out
        pairs = [(task, len(applicable(str(task)))) for task in TASKS.select(PRESETS["quick"].tasks)]
        trained = sum(n for task, n in pairs if "steps" in TASKS.find(task.family).fact("sources", ()))
        every = sum(n for _, n in pairs)
        exact = sum(n for task, n in pairs if "enumeration" in TASKS.find(task.family).fact("sources", ()))
        enumerated = f"{exact} exact bias and variance, " * bool(exact)
        assert f"{every - trained} bias and variance, {enumerated}{trained} training, {every} timing" in out

    def test_excluded_names_are_left_out(self, command: Command, tmp_path: Path) -> None:
        arguments = ["-e", "rloo:n={2,4}", "-e", "re*", "-t", "bit", "-t", "quadratic", "-o", tmp_path, "--dry-run"]

        def cells(*more: str) -> int:
            return int(command("run", *arguments, *more).out.split(" cells")[0])

        names = [name for name in applicable("bit") if name.startswith("re")]
        everything = 2 * 2 * (2 + len(names))
        assert cells() == everything
        assert cells("-x", "rloo") == everything - 8
        assert cells("-x", "rloo:n=4") == everything - 4
        assert cells("-x", "re*") == 8
        assert cells("-x", "quadratic", "-x", "rebar") == (everything - 4) // 2

    def test_a_sweep_is_measured_at_each_value(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "gumbel-softmax:tau={.1,.5}", "-t", "bit", "-o", tmp_path)
        assert ended.code == 0 and "4 cells" in ended.out
        estimators = set(pd.read_csv(tmp_path / "tables" / "toys.csv")["estimator"])
        assert len(estimators) == 2 and "gumbel-softmax:tau=0.1" in estimators

    def test_with_everything_excluded_nothing_runs(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "rloo", "-x", "rloo", "-t", "bit", "-o", tmp_path)
        assert ended.code == 0 and "0 cells" in ended.out

    def test_an_unsupported_cell_is_no_failure(self, command: Command, tmp_path: Path) -> None:
        ended = command("run", "-e", "disarm", "-e", "rloo", "-t", "category-table", "-o", tmp_path)
        assert ended.code == 0 and "cells: 2 ok; 2 combinations do not apply" in ended.out
        assert "2 combinations do not apply: `dvae-bench list support`" in ended.out
        assert "disarm" not in ended.out and not (tmp_path / "tables" / "failures.csv").exists()

    def test_a_cell_that_turns_out_not_to_apply_is_a_count_too(self, command: Command, tmp_path: Path) -> None:
        """With its reason where no other cell ended."""
        chosen = ("run", "-e", "straight-through", "-t", "bit-table:extension=none")
        alone = command(*chosen, "-o", tmp_path / "alone")
        beside = command(*chosen, "-e", "rloo", "-o", tmp_path / "beside")
        assert alone.code == 0 and "cells: none; 2 combinations do not apply\n  straight-through diff" in alone.out
        assert "; 2 combinations do not apply" in beside.out and "straight-through" not in beside.out

    @pytest.mark.parametrize("device", ["cpu", "auto"])
    def test_the_cpu_is_used_where_there_is_no_accelerator(
        self, command: Command, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
        ended = command("run", "-e", "rloo", "-t", "bit", "-o", tmp_path, "--device", device)
        assert "device cpu" in ended.out and set(Store(tmp_path).rows()["device"]) == {"cpu"}


@pytest.mark.usefixtures("tiny_presets", "no_figures")
class TestPlugins:
    def test_a_failing_plugin_exits_3_with_the_report_written(
        self, command: Command, tmp_path: Path, plugin_file: Callable[..., Path]
    ) -> None:
        path = plugin_file("sometimes-fails", "raise RuntimeError('no baseline yet')")
        arguments = ["run", "--plugin", path, "-e", "sometimes-fails", "-e", "rloo", "-t", "bit", "-o", tmp_path / "r"]
        ended = command(*arguments)
        assert ended.code == FAILED == 3 and "Traceback" not in ended.err
        assert "FAILED sometimes-fails on bit, draws" in ended.out and "RuntimeError: no baseline yet" in ended.out
        assert "cells: 2 error, 2 ok" in ended.out
        toys = pd.read_csv(tmp_path / "r" / "tables" / "toys.csv").set_index("estimator")
        assert toys.loc["rloo", "verdict"] == "unbiased" and toys.loc["sometimes-fails", "verdict"] == "error"
        failures = pd.read_csv(tmp_path / "r" / "tables" / "failures.csv")
        assert failures["reason"].str.contains("no baseline yet").all()
        again = command(*arguments)
        assert again.code == 3 and "2 finished already; 2 to measure" in again.out
        assert "cells: 2 error, 2 reused" in again.out

    @pytest.mark.parametrize("code", ["raise SystemExit(0)", "os._exit(0)"])
    def test_a_plugin_that_exits_does_not_end_the_run_in_its_favour(
        self, command: Command, tmp_path: Path, plugin_file: Callable[..., Path], code: str
    ) -> None:
        path = plugin_file("exits", code)
        ended = command("run", "--plugin", path, "-e", "exits", "-e", "rloo", "-t", "bit", "-o", tmp_path / "r")
        assert ended.code == 3 and "cells: 2 error, 2 ok" in ended.out

    def test_a_fixed_plugin_is_measured_again(
        self, command: Command, tmp_path: Path, plugin_file: Callable[..., Path]
    ) -> None:
        def run() -> Ended:
            return command("run", "--plugin", path, "-e", "mine", "-t", "bit", "-o", tmp_path / "r")

        path = plugin_file("mine", "raise RuntimeError('not yet')")
        assert run().code == 3
        plugin_file("mine")
        again = run()
        assert again.code == 0 and "cells: 2 ok" in again.out
        assert not (tmp_path / "r" / "tables" / "failures.csv").exists()

    def test_a_plugin_has_parameters(self, command: Command, tmp_path: Path, plugin_file: Callable[..., Path]) -> None:
        path = plugin_file("mine", facts=SCALE, answer=SCALED)
        ended = command("run", "--plugin", path, "-e", "mine:scale={1,3}", "-t", "bit:t=0", "-o", tmp_path / "r")
        assert ended.code == 0
        toys = pd.read_csv(tmp_path / "r" / "tables" / "toys.csv").set_index("estimator")
        assert toys["verdict"].to_dict() == {"mine": "unbiased", "mine:scale=3.0": "biased"}
        assert command("run", "--plugin", path, "-e", "mine:scale=0", "-t", "bit").refused("scale must be a number > 0")

    @pytest.mark.parametrize("text", ["no file [/data/x]", "shape [batch, d] is odd"])
    def test_what_a_plugin_says_is_printed_as_it_is(
        self, command: Command, tmp_path: Path, plugin_file: Callable[..., Path], text: str
    ) -> None:
        path = plugin_file("says", f"raise RuntimeError({text!r})")
        ended = command("run", "--plugin", path, "-e", "says", "-t", "bit", "-o", tmp_path / "r")
        assert ended.code == 3 and ended.out.count(text) > 2, "on each cell's line, and in the table"

    def test_two_plugin_files_of_the_same_name_are_kept_apart(
        self, command: Command, tmp_path: Path, plugin_file: Callable[..., Path]
    ) -> None:
        first = plugin_file("mine", below="first")
        second = plugin_file("mine", source=estimator("late", "raise OSError('late')"), below="second")
        ended = command(
            "run", "--plugin", first, "--plugin", second, "-e", "mine", "-e", "late", "-t", "bit", "-o", tmp_path / "r"
        )
        assert "cells: 2 error, 2 ok" in ended.out

    @pytest.mark.parametrize("module", ["installed_but_broken", "nowhere_to_be_found"])
    def test_an_installed_plugin_that_cannot_be_imported_fails_its_own_cells_only(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        (tmp_path / "installed_but_broken.py").write_text("import nothing_of_this_name\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(ESTIMATORS.third_party, "gone", Plugin("gone", "third-party", module, "Gone"))
        assert "gone" in command("list").out
        ended = command("run", "-e", "gone", "-e", "rloo", "-t", "bit", "-o", tmp_path / "r")
        assert ended.code == 3 and "cells: 2 error, 2 ok" in ended.out and "ModuleNotFoundError" in ended.out


class TestReport:
    def test_a_report_elsewhere_has_the_same_bytes(self, command: Command, tmp_path: Path, tiny_presets: None) -> None:
        command("run", "-e", "rloo", "-e", "straight-through", "-t", "bit", "-o", tmp_path / "run")
        assert (tmp_path / "run" / "figures").is_dir()
        ended = command("report", tmp_path / "run", "-o", tmp_path / "elsewhere")
        written = [Path(line) for line in ended.out.splitlines()]
        assert ended.code == 0 and all(path.is_file() for path in written)
        assert {path.suffix for path in written} >= {".csv", ".md", ".tex", ".pdf", ".svg", ".png", ".html"}
        assert (tmp_path / "run" / "index.html").read_bytes() == written[-1].read_bytes()
        assert all(path.is_relative_to(tmp_path / "elsewhere") for path in written)
        one, other = ((tmp_path / name / "tables" / "toys.csv").read_bytes() for name in ("run", "elsewhere"))
        assert one == other, "a report is a function of the stored rows"

    def test_named_figures_are_drawn_in_another_style(
        self, command: Command, tmp_path: Path, tiny_presets: None
    ) -> None:
        command("run", "-e", "rloo", "-e", "reinforce", "-t", "bit", "-o", tmp_path / "run")
        ended = command("figures", tmp_path / "run", "bias", "kl", "--style", "talk", "--columns", 1, "-o", tmp_path)
        assert ended.code == 0 and "kl: skipped, no task reports a KL" in ended.out
        assert {path.name for path in tmp_path.iterdir()} == {"run", "bias.pdf", "bias.svg", "bias.png"}

    def test_figures_are_listed(self, command: Command) -> None:
        assert "relative bias" in next(line for line in command("list", "figures").out.splitlines() if "bias " in line)
        assert {"name", "about"} == set(json.loads(command("list", "figures", "--json").out)[0])
