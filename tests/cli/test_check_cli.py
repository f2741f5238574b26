"""`dvae-bench check`: a line for each property, and the exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Command

PROPERTIES = 12


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
