"""The switches of the speed paths of training: --autocast, --compile, --cuda-graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from ..estimators.names import Name, UsageError
from ..estimators.registry import TASKS

Autocast = Annotated[
    str, typer.Option(metavar="no|bf16", help="bf16: train encoder and decoder in bfloat16, the rest in float32.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Train with encoder and decoder compiled.")]
CudaGraphs = Annotated[bool, typer.Option("--cuda-graphs", help="Capture each training step and replay it.")]


def speed(autocast: str, compiled: bool, cuda_graphs: bool) -> dict[str, str]:
    """The hyper-parameters of training tasks that these switches set; empty if all are off."""
    switches = {"autocast": autocast, "compile": "yes" if compiled else "no"}
    switches["cuda_graphs"] = "yes" if cuda_graphs else "no"
    return {path: value for path, value in switches.items() if value != "no"}


def at_speed(tasks: Iterable[Name], values: Mapping[str, str]) -> list[Name]:
    """The tasks, with these values where they are hyper-parameters. Raises UsageError if no task has them."""
    tasks = list(tasks)
    able = {name for name in tasks if values.keys() <= TASKS.find(name.family).fact("hyperparameters", {}).keys()}
    if values and not able:
        switches = ", ".join(f"--{path.replace('_', '-')}" for path in values)
        raise UsageError(
            f"{switches} is for training tasks with speed paths, and none is selected; add -t mnist-vae or leave it out"
        )
    return [TASKS.canonical(Name(n.family, tuple({**n.values, **values}.items()))) if n in able else n for n in tasks]
