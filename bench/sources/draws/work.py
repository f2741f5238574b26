"""The work of one gradient draw on a toy, which determines the size of blocks."""

from __future__ import annotations

from dataclasses import dataclass

from ....estimators.counting import CountedObjective
from ....tasks.contract import Toy
from ..build import Layers
from ..costs import Costs, count_costs
from ..gradient import draw_gradient, toy_problem
from ..streams import stream
from .replicates import draw_replicates

COUNTED_REPLICATES, COUNTED_ELEMENTS = 8, 2e7


@dataclass(frozen=True)
class Work:
    """Evaluations and differentiations of f per gradient draw, and the deterministic costs of drawing `replicates`."""

    evaluations: int
    differentiations: int
    costs: Costs
    replicates: int

    def draws(self, elements: float, most: int) -> int:
        """How many draws, at most `most`, produce about `elements` numbers of 4 bytes over all operations."""
        return int(min(most, max(1, 4 * elements * self.replicates / self.costs.bytes)))


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
    """The work of COUNTED_REPLICATES gradient draws in eval(); of fewer when f alone makes them very wide."""
    evaluations, differentiations = count_calls(layers, task)
    count = int(min(COUNTED_REPLICATES, max(1, COUNTED_ELEMENTS / (max(1, evaluations) * task.width))))
    sample, lower = stream(0, "count", task.device), stream(0, "count-lower", task.device)
    costs = count_costs(lambda: draw_replicates(layers, task, count, sample, lower))
    return Work(evaluations, differentiations, costs, count)
