"""A source: one way to measure an estimator on a task, and everything that a run needs to know about it.

No torch here, nor in each source's own `source.py`, so that code that only names a source, such as a report, starts
without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from ...estimators.names import Name, Unsupported
from ..store.files import Unwritable

if TYPE_CHECKING:
    from ..store.store import Store


class Subject(Protocol):
    """The object of a measurement, as a source sees it: an estimator on a task, with seed, settings and device."""

    @property
    def estimator(self) -> Name: ...
    @property
    def task(self) -> Name: ...
    @property
    def seed(self) -> int: ...
    @property
    def settings(self) -> Any: ...
    @property
    def device(self) -> str: ...

    def part(self) -> str:
        """The name of the part that it has, or will have, in the store."""

    def __hash__(self) -> int: ...


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True)
class Outcome:
    """How a measurement ended.

    status: `ok`, `unsupported` or `diverged`, the latter two with a reason. measured: the input of the source's
    collectors, which make rows of it; None when nothing was measured.
    """

    status: str
    measured: Any = None
    reason: str = ""
    tuned_steps: int = 0


Result = Outcome | Exception
"""An exception is one that the estimator or the task raised."""


class InFlight:
    """The state of an unfinished measurement on disk, from which a killed run resumes; this base class keeps none."""

    def clear(self) -> None:
        """Delete the state, because the measurement has ended or must start over."""


@dataclass(frozen=True)
class Hooks(Generic[S]):
    """The functions that a source calls while it measures; by default they do nothing.

    begin: a subject begins. tick: how much of the work is done, from 0 to 1 for one subject, to n for n measured
    together. say: a sentence for the user. guard: a context manager entered around all code of a plugin. in_flight: the
    state of the unfinished subjects that this source keeps on disk.
    """

    begin: Callable[[S], None] = lambda subject: None
    tick: Callable[[float], None] = lambda fraction: None
    say: Callable[[str], None] = lambda text: None
    guard: Callable[[S], AbstractContextManager[object]] = lambda subject: nullcontext()
    in_flight: InFlight = field(default_factory=InFlight)


class Source(ABC):
    """Abstract. Each concrete source has a single instance: a constant with the source's `name` in capitals.

    name: the word in stored rows, in `Task.sources` and in `Collector.source`. label: the name shown to users.
    presets: the settings in each preset. size: the setting that the time of a cell is proportional to. counted: the
    name of what it counts, for readers. typical_seconds: the time of a cell in the quick preset. code: the file that
    measures, relative to the package's root; a change there, or in a module it imports, makes stored cells stale.

    seeded: whether a run has a cell for each seed, not just one. together: whether all subjects of a task and seed are
    measured in one call, taking turns, with a tick after each turn. alone: whether nothing else may run on the machine
    at the same time; then the numbers hold for that machine only, whose name is part of the key.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]
    size: ClassVar[str]
    counted: ClassVar[str] = "steps"
    typical_seconds: ClassVar[float]
    code: ClassVar[str]
    seeded: ClassVar[bool] = True
    together: ClassVar[bool] = False
    alone: ClassVar[bool] = False

    @abstractmethod
    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        """Measure every subject; an exception of one does not affect the others. Raises Unwritable only."""

    def in_flight(self, store: Store, part: str) -> InFlight:
        """The state that this store keeps of the unfinished subject whose part will have this name."""
        return InFlight()

    def seconds(self, settings: Any) -> float:
        """About how many seconds a cell with these settings takes, on a machine of 2026."""
        return self.typical_seconds * float(getattr(settings, self.size) / getattr(self.presets["quick"], self.size))

    def __reduce__(self) -> str:
        """Pickle by reference, so that a worker process gets the same instance."""
        return self.name.upper()

    def __repr__(self) -> str:
        return self.name.upper()


def attempt(subject: S, hooks: Hooks[S], measure: Callable[[S], Outcome]) -> Result:
    """The outcome of `measure` under the subject's guard, or the exception it raised. Raises Unwritable only."""
    try:
        with hooks.guard(subject):
            return measure(subject)
    except Unsupported as reason:
        return Outcome("unsupported", reason=str(reason))
    except Unwritable:
        raise
    except Exception as error:
        return error


def one_by_one(subjects: Sequence[S], hooks: Hooks[S], measure: Callable[[S], Outcome]) -> dict[S, Result]:
    """`Source.measure` for a source that measures each subject separately."""
    results: dict[S, Result] = {}
    for subject in subjects:
        hooks.begin(subject)
        results[subject] = attempt(subject, hooks, measure)
    return results
