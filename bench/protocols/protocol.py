"""A published protocol: what a paper trained, what it printed, and how we go about the same. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TRAINING_IMAGES = {"60k/10k": 60_000, "50k/10k/10k": 50_000}

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """A method of the paper, our estimator for it, and its published numbers by setting: a value, or value and spread.

    An estimator with a sweep, `gumbel-softmax:tau={.1,.5}`, is chosen with the protocol's own sweep. Without published
    numbers the method is run in every setting. values: the task's parameters for this method. differs: why its numbers
    are not comparable with ours.
    """

    method: str
    estimator: str
    values: Table = field(default_factory=dict)
    published: Table = field(default_factory=dict)
    differs: str = ""

    def value(self, setting: str) -> float:
        return float(self._numbers(setting)[0])

    def spread(self, setting: str) -> float:
        return float(self._numbers(setting)[1])

    def _numbers(self, setting: str) -> list[float]:
        found = self.published.get(setting, float("nan"))
        return found if isinstance(found, list) else [found, float("nan")]


@dataclass(frozen=True)
class Protocol:
    """What a paper trained and what it printed.

    metric: the row compared, with a leading minus where the paper prints its negative; report: its last value, or the
    best along training. values: the task's parameters; settings: those of each column of the table; sweep: the values
    chosen by `select` on the selection seeds, which are not among the reporting seeds 0 to seeds - 1. numbers: verified
    in the paper, recalled, or none. differs: what we do otherwise, printed with every table. assumed: what of the
    protocol was not read and is our choice; with it nothing is called a reproduction.
    """

    name: str
    about: str
    citation: str
    table: str
    numbers: str
    data: str
    task: str
    metric: str
    select: str
    seeds: int
    values: Table
    settings: Table
    methods: tuple[Method, ...]
    steps: int = 0
    epochs: int = 0
    report: str = "last"
    evaluations: int = 10
    samples: int = 1
    spread: str = ""
    assumed: str = ""
    selection_seeds: tuple[int, ...] = ()
    sweep: Table = field(default_factory=dict)
    differs: tuple[str, ...] = ()

    @property
    def negated(self) -> bool:
        return self.metric.startswith("-")

    @property
    def measured(self) -> str:
        """The metric of the stored rows."""
        return self.metric.removeprefix("-")

    @property
    def lower_is_better(self) -> bool:
        return self.negated or self.measured.startswith("loss")

    @property
    def selection_metric(self) -> str:
        """What `select` compares: the loss, or the ELBO, which unlike the tighter bound is measured along training."""
        name = "loss" if self.measured.startswith("loss") else "elbo"
        return f"{name}_{self.select.removeprefix('best ')}"

    @property
    def length(self) -> int:
        """Training steps, from the epochs where the paper gives those; the last, smaller batch is left out."""
        batch, split = self.values.get("batch", 100), self.values.get("split", "60k/10k")
        return self.steps or self.epochs * (TRAINING_IMAGES[split] // batch)

    def lines(self) -> Iterator[tuple[Method, str]]:
        """Each method in each of its settings."""
        for setting in self.settings:
            for method in self.methods:
                if setting in method.published or not method.published:
                    yield method, setting
