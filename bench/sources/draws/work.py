"""The work of one gradient draw on a toy, which sizes its blocks."""

from __future__ import annotations

from dataclasses import dataclass

from ....estimators.counting import CountedObjective
from ....tasks.contract import Toy
from ..build import Layers
from ..costs import Costs, count_costs
from ..gradient import draw_gradient, toy_problem
from ..streams import stream
from .replicates import draw_replicates

COUNTED_ROWS, COUNTED_ELEMENTS = 8, 2e7


@dataclass(frozen=True)
class Work:
    """Evaluations and differentiations of f for one gradient draw, and the deterministic costs of a call for `rows`."""

    evaluations: int
    differentiations: int
    costs: Costs
    rows: int

    def draws(self, elements: float, most: int) -> int:
        """How many draws, at most `most`, make about `elements` numbers of 4 bytes, over all operations."""
        return int(min(most, max(1, 4 * elements * self.rows / self.costs.bytes)))


def count_calls(layers: Layers, task: Toy) -> tuple[int, int]:
    """Evaluations and differentiations of f that one gradient draw makes."""
    layers.eval()
    once, generator, counted = task.params(), stream(0, "count", task.device), CountedObjective()
    params = once.expand(1, *once.shape)
    drawn = draw_gradient(toy_problem(task), layers.top, params, generator, layers.lower(generator), counted.watch)
    shared = [tensor for group in task.groups().values() for tensor in group]
    drawn.value.sum().backward(inputs=[once, *shared])
    return counted.evaluations, counted.differentiations


def count_work(layers: Layers, task: Toy) -> Work:
    """Of COUNTED_ROWS gradient draws in eval(), fewer where f alone makes them very wide."""
    evaluations, differentiations = count_calls(layers, task)
    rows = int(min(COUNTED_ROWS, max(1, COUNTED_ELEMENTS / (max(1, evaluations) * task.width))))
    sample, lower = stream(0, "count", task.device), stream(0, "count-lower", task.device)
    return Work(
        evaluations, differentiations, count_costs(lambda: draw_replicates(layers, task, rows, sample, lower)), rows
    )
