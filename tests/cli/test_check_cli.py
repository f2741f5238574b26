"""`dvae-bench check`: a line for each property, and the exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Command
from plugin_files import estimator

PROPERTIES = 13


def test_an_estimator_that_conforms_has_a_line_for_each_property(command: Command) -> None:
    ended = command("check", "disarm")
    lines = [line.split() for line in ended.out.splitlines()]
    assert ended.code == 0
    assert len(lines) == PROPERTIES
    assert all(line[0] == "disarm" and line[2] == "ok" for line in lines)


def test_a_plugin_that_does_not_conform_is_named_with_the_property(
    command: Command, plugin_file: Callable[..., Path]
) -> None:
    """Without names, the estimators of the file are checked, and no others."""
    ended = command("check", "--plugin", plugin_file("without-facts", facts=""))
    assert ended.code == 1
    assert ended.out.splitlines() == ["without-facts  facts        FAILED   the class body has no `cost`"]


def test_parameters_are_part_of_the_name(command: Command) -> None:
    ended = command("check", "straight-through:tau={0.5,2}")
    assert ended.code == 0
    names = {line.split()[0] for line in ended.out.splitlines()}
    assert names == {"straight-through:tau=0.5", "straight-through:tau=2.0"}


@pytest.mark.parametrize("arguments", [["rlo"], ["rloo:m=3"], ["zz*"], ["--plugin", "nowhere.py"]])
def test_bad_input_is_refused(command: Command, arguments: list[str]) -> None:
    assert command("check", *arguments).refused()


EXITS = {
    "sys-exit": ("raise SystemExit(0)", "it called sys.exit(0)"),
    "os-exit": ("os._exit(0)", "the process that measured it died: it exited with code 0"),
    "interrupt": ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
    "panic": ("raise BaseException('a panic')", "it raised BaseException: a panic"),
    "segfault": ("ctypes.string_at(0)", "SIGSEGV, a crash in native code"),
}
HANGS = {
    "sleeps": "time.sleep(3600)",
    "loops-in-c": "ctypes.PyDLL(None).sleep(3600)",
    "child-holds-the-pipe": "os.fork() or time.sleep(3600)\nos._exit(0)",
    "thread-stays": "import threading; threading.Thread(target=time.sleep, args=(3600,)).start()\nsys.exit(0)",
}


@pytest.mark.parametrize("name", EXITS)
def test_an_estimator_that_ends_early_has_failed(command: Command, plugin_file: Callable[..., Path], name: str) -> None:
    code, reason = EXITS[name]
    ended = command("check", "--plugin", plugin_file(name, code))
    assert ended.code == 1 and f"{name}  unbiased     FAILED" in ended.out and reason in ended.out


def test_a_file_that_exits_when_it_is_imported_has_failed(command: Command, plugin_file: Callable[..., Path]) -> None:
    """As a script does that reads its arguments at the top of the file."""
    script = "import argparse\nargparse.ArgumentParser(prog='mine').parse_args(['--help'])\n" + estimator("script")
    ended = command("check", "--plugin", plugin_file("script", source=script))
    assert ended.code == 1 and "script  facts        FAILED   it raises CalledExit: it called sys.exit(0)" in ended.out


def test_an_estimator_that_hangs_has_failed_and_the_next_is_tested(
    command: Command, plugin_file: Callable[..., Path]
) -> None:
    """One file for all: the process of the next estimator is a new one."""
    classes = [estimator(name, code).replace("Mine", f"Mine{k}") for k, (name, code) in enumerate(HANGS.items())]
    path = plugin_file("hangs", source="\n".join(classes).replace("from __future__", "# "))
    ended = command("check", "--plugin", path, "--timeout", "1s")
    assert ended.code == 1
    for name in HANGS:
        assert f"{name}  unbiased     FAILED" in ended.out, ended.out
    assert ended.out.count("it took longer than the 1 s of --timeout") == 2
