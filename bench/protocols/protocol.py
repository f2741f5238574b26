"""A published protocol: what a paper trained, the numbers it printed, and how we do the same. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TRAINING_IMAGES = {"60k/10k": 60_000, "50k/10k/10k": 50_000}
METRICS = {
    "elbo": ("ELBO", ("train", "valid", "test")),
    "reconstruction": ("reconstruction", ("train", "valid", "test")),
    "loss": ("loss", ("train",)),
    "iw": ("importance-weighted bound", ("test",)),
}
"""Of trainings, each with its words, and the images that it is measured on."""

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """A method of the paper, our estimator for it, and its published numbers.

    published: setting -> a value, or [value, spread]; without any, the method is run in every setting. estimator: may
    have a sweep, `gumbel-softmax:tau={.1,.5}` or `tau={.1..1}`, which is combined with the protocol's own. values: the
    task's parameters for this method. differs: why the paper's numbers for it are not comparable with ours.
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
    """What a paper trained, and the numbers it printed.

    data: `mnist`, or the name of other images, as `--data` names them in the rows. metric: the metric to compare, with
    a leading minus where the paper prints its negative. report: its last value, or its best along training. values: the
    task's parameters. numbers: verified in the paper, recalled, or none. runs: how many runs each of them averages; 0
    if that is unknown. published_steps: how many steps their trainings took, where the protocol takes others. differs:
    what we do differently, printed with every table. assumed: each part of the protocol that was not read, and our
    choice; a table with any is not called a reproduction.

    A setting is a column of the paper's table, with the parameters of its task; a line is a method in a setting. For
    each line, `sweep` and the sweep of its estimator say what is searched: all values of a grid or, if `trials` is
    given, that many points, drawn from lists and ranges (`1e-4..1e-2`, uniform on a log scale). A trial is a training
    at one of these points on each of the selection seeds; `select` compares the trials by what they end with. The best
    one is then trained on the reporting seeds, 0 to seeds - 1, whose numbers we report.

    source: the source that measures it. For a source of toys, `steps` counts what it counts, `measuring` has its
    settings where they differ from the preset paper, and a cell holds several runs, the blocks of its rows. reported:
    setting -> the metric and the step reported there, where they are others than `metric` and the last or best one.
    """

    name: str
    about: str
    citation: str
    table: str
    numbers: str
    data: str
    task: str
    metric: str
    seeds: int
    values: Table
    settings: Table
    methods: tuple[Method, ...]
    steps: int = 0
    epochs: int = 0
    source: str = "steps"
    select: str = "best train"
    report: str = "last"
    published_steps: int = 0
    evaluations: int = 10
    samples: int = 1
    runs: int = 0
    spread: str = ""
    trials: int = 0
    selection_seeds: tuple[int, ...] = ()
    assumed: Table = field(default_factory=dict)
    sweep: Table = field(default_factory=dict)
    measuring: Table = field(default_factory=dict)
    reported: Table = field(default_factory=dict)
    differs: tuple[str, ...] = ()

    @property
    def negated(self) -> bool:
        return self.metric.startswith("-")

    @property
    def measured(self) -> str:
        """The name of the metric in stored rows."""
        return self.metric.removeprefix("-")

    def measured_in(self, setting: str) -> str:
        """The name of the metric of this setting in stored rows."""
        return str(self.reported.get(setting, {}).get("metric", self.measured))

    def step_in(self, setting: str) -> int | None:
        """The step reported in this setting; None for the last, or the best."""
        return self.reported.get(setting, {}).get("step")

    @property
    def lower_is_better(self) -> bool:
        return self.negated or self.measured.startswith(("loss", "bias", "var"))

    @property
    def selection_metric(self) -> str:
        """The metric that `select` compares: the loss, or the ELBO, since only reports have the tighter bound."""
        name = "loss" if self.measured.startswith("loss") else "elbo"
        return f"{name}_{self.selection_split}"

    @property
    def selection_split(self) -> str:
        return self.select.removeprefix("best ")

    @property
    def assumptions(self) -> str:
        """Such as 'networks and search ranges'."""
        *others, last = self.assumed or [""]
        return f"{', '.join(others)} and {last}" if others else last

    @property
    def choices(self) -> str:
        """The assumed parts with our choice for each: 'networks (two hidden layers of 200, tanh); batch (100)'."""
        return "; ".join(f"{part} ({choice})" for part, choice in self.assumed.items())

    @property
    def length(self) -> int:
        """Training steps, computed from epochs where the paper gives epochs; a smaller last batch is dropped."""
        batch, split = self.values.get("batch", 100), self.values.get("split", "60k/10k")
        return self.steps or self.epochs * (TRAINING_IMAGES[split] // batch)

    def lines(self) -> Iterator[tuple[Method, str]]:
        """Each method in each of its settings; a line of the table."""
        for setting in self.settings:
            for method in self.methods:
                if setting in method.published or not method.published:
                    yield method, setting
