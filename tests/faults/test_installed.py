"""Installed packages: their names are unique, nothing of theirs runs in our process, and each failure is their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Command
from dvae_bench.bench.run.executors import HERE
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.registry import COLLECTORS, ESTIMATORS, TASKS
from plugin_files import collector, estimator
from tiny import Diary, grid

Install = Callable[..., None]
EXITS = "import os\nos._exit(0)\n"
MINE = "estimators: mine = mine_package:Mine"
MADE = """
from dvae_bench import Estimator
Mine = type("Mine", (Estimator,), {"name": "mine", "latents": ("bernoulli",), "hyperparameters": {"n": {"default": 2}}})
"""


def test_a_name_of_ours_is_refused_with_both_packages(install: Install, command: Command, tmp_path: Path) -> None:
    install("theirs", "estimators: rloo = their_package:Mine", their_package=estimator("rloo"))
    both = "the packages dvae-bench and theirs both have the estimator 'rloo'"
    assert command("run", "-e", "rloo", "-t", "bit", "--dry-run").refused(both, "uninstall theirs")
    assert both in command("list").out
    assert command("run", "-e", "r*", "-x", "rloo", "-t", "bit", "-o", tmp_path / "r", "--dry-run").code == 0


def test_two_packages_with_one_name_are_refused_with_both(install: Install) -> None:
    for package in ("first", "second"):
        install(package, f"estimators: mine = {package}_package:Mine", **{f"{package}_package": estimator("mine")})
    with pytest.raises(UsageError, match=r"the packages (second and first|first and second) both have .* 'mine'"):
        ESTIMATORS.find("mine")


@pytest.mark.parametrize("name", ["rloo", "leave-one-out", "another"])
def test_a_name_that_is_taken_is_refused_in_a_file_too(
    plugin: Callable[..., Path], plugin_file: Callable[..., Path], name: str
) -> None:
    plugin("another", below="first")
    path = plugin_file(name, below="second")
    with pytest.raises(UsageError, match=f"{name}.* already; give yours another name"):
        ESTIMATORS.add_file(path)
    assert ESTIMATORS.find("rloo").origin == ""


MALFORMED = {
    "no class": ("!!", "", "is '!!', not module:Class"),
    "aliases": ("odd_package:Mine", "aliases = 5", "`aliases` must be a tuple of words"),
    "hyperparameters": ("odd_package:Mine", "hyperparameters = 5", "`hyperparameters` must be a dict of rules"),
    "a limit": (
        "odd_package:Mine",
        "hyperparameters = {'n': {'default': 2, 'max': 'k'}}",
        "must be a number or another",
    ),
    "a rule": ("odd_package:Mine", "hyperparameters = {'n': 5}", 'must be a dict with a "default"'),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_plugin_is_refused_in_one_sentence(
    what: str, install: Install, command: Command, plugin_file: Callable[..., Path]
) -> None:
    value, facts, sentence = MALFORMED[what]
    install("odd", f"estimators: odd = {value}", odd_package=estimator("odd", facts=facts))
    assert command("run", "-e", "odd", "-t", "bit").refused(sentence, "of the package odd")
    assert sentence in command("list").out and command("show", "odd").refused(sentence)
    if facts:
        assert command("list", "--plugin", plugin_file("odd-file", facts=facts)).refused(sentence)


def test_nothing_of_an_installed_package_runs_in_our_process(install: Install, store: Store) -> None:
    """Not even the package around the module, which ends the process that imports it."""
    modules = {"theirs/__init__": EXITS, "theirs/mine": estimator("mine")}
    install("theirs", "estimators: mine = theirs.mine:Mine", **modules)
    assert ESTIMATORS.find("mine").facts["latents"] == ("bernoulli",)
    diary = Diary()
    assert HERE.run(grid("mine", "rloo", sources="draws"), store, diary) == {"error": 1, "ok": 1}
    assert "exited with code 0" in diary.of("mine")[1] and "theirs" not in sys.modules


@pytest.mark.parametrize(("source", "wrong"), [(MADE, ""), (EXITS, "it exited with code 0"), ("1 / 0", "ZeroDivision")])
def test_facts_that_the_source_does_not_show_are_asked_of_another_process(
    install: Install, source: str, wrong: str
) -> None:
    install("theirs", MINE, mine_package=source)
    if wrong:
        with pytest.raises(UsageError, match=f"cannot be imported .*{wrong}.*--exclude"):
            ESTIMATORS.select(["mine:n=3"])
    else:
        assert list(map(str, ESTIMATORS.select(["mine:n=3"]))) == ["mine:n=3"]
    assert "mine_package" not in sys.modules


@pytest.mark.usefixtures("tiny_presets", "no_figures", "no_page")
def test_a_collector_that_cannot_be_imported_costs_no_other_numbers(
    install: Install, command: Command, tmp_path: Path
) -> None:
    """And it can be left out."""
    source = collector("counts", "[]") + "import nothing_of_this_name\n"
    install("theirs", "collectors: counts = counts_package:Mine", counts_package=source)
    arguments = ["run", "-e", "rloo", "-t", "bit", "-o", tmp_path / "r"]
    ended = command(*arguments)
    assert ended.code == 3 and "cells: 1 error, 1 ok" in ended.out and "nothing_of_this_name" in ended.out
    assert {"bias", "variance", ""} <= set(Store(tmp_path / "r").rows()["collector"])
    assert command(*arguments, "-x", "counts").code == 0


def test_a_task_that_cannot_be_imported_can_be_left_out(install: Install, command: Command) -> None:
    install("theirs", "tasks: lost = lost_package:Lost", lost_package="import nothing_of_this_name\n")
    toys = ["run", "-e", "rloo", "-t", "toy", "--dry-run"]
    assert command(*toys).refused("'lost' cannot be imported", "--exclude")
    assert command(*toys, "-x", "lost").code == 0


ROWS = {
    "raises": "1 / 0",
    "writes what is no row": '[{"metric": "odd", "value": "not a number"}]',
    "exits": "exit(0)",
}


@pytest.mark.parametrize("what", ROWS)
def test_a_collector_that_fails_keeps_the_rows_of_the_others(
    what: str, store: Store, plugin: Callable[..., Path]
) -> None:
    plugin("odd", source=collector("odd", ROWS[what]))
    diary = Diary()
    assert HERE.run(grid("rloo", sources="draws"), store, diary) == {"error": 1}
    assert "the collector odd failed" in diary.of("rloo")[1]
    rows = store.rows()
    assert {"bias", "variance"} <= set(rows["collector"]) and list(rows["status"]).count("error") == 1


KINDS = {
    "from dvae_bench import Estimator": ("Estimator", ESTIMATORS),
    "import dvae_bench as db": ("db.Estimator", ESTIMATORS),
    "from dvae_bench.estimators.foreign import Surrogate as Base": ("Base", ESTIMATORS),
    "from dvae_bench.estimators.score_function.rloo import Rloo": ("Rloo", ESTIMATORS),
    "from dvae_bench.tasks import contract": ("contract.Toy", TASKS),
    "from dvae_bench import Collector\nclass Local(Collector): pass": ("Local", COLLECTORS),
    "from torch.nn import Module": ("Module", None),
}


@pytest.mark.parametrize("imported", KINDS)
def test_the_kind_of_a_class_is_that_of_its_base(imported: str, plugin_file: Callable[..., Path]) -> None:
    """An estimator whose `latents` are no literal was a task."""
    base, kind = KINDS[imported]
    body = f'class Mine({base}):\n    name = "mine"\n    latents = tuple(["bernoulli"])\n'
    path = plugin_file("mine", source=f"{imported}\n{body}")
    found = [registry for registry in (ESTIMATORS, TASKS, COLLECTORS) if registry.add_file(path)]
    assert found == ([kind] if kind else [])


def test_an_exception_of_another_kind_fails_its_own_cell_only(store: Store, plugin: Callable[..., Path]) -> None:
    plugin("panics", "import asyncio; raise asyncio.CancelledError('a panic')")
    diary = Diary()
    assert HERE.run(grid("panics", "rloo", sources="draws"), store, diary) == {"error": 1, "ok": 1}
    assert "it raised CancelledError: a panic" in diary.of("panics")[1]
