"""A source: one of the ways in which an estimator on a task is measured, and all that a run needs to know of it.

No torch here and in each source's own `source.py`: what only names a source, such as a report, starts without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ...estimators.names import Name, Unsupported
from ..store.files import Unwritable
from ..store.store import Store


class Subject(Protocol):
    """What is measured, as a source sees it: an estimator on a task, at one seed, so thoroughly, on this device."""

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
        """The name of its part in the store."""

    def __hash__(self) -> int: ...


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True)
class Outcome:
    """How a measurement ended.

    status: `ok`, `unsupported` or `diverged`, the latter two with a reason. measured: what the source's collectors make
    rows of; None where there is nothing.
    """

    status: str
    measured: Any = None
    reason: str = ""
    tuned_steps: int = 0


Result = Outcome | Exception
"""An exception is the fault of the estimator or the task that raised it."""


class InFlight:
    """What a source keeps on disk of a measurement that a kill would cut short; of this one, nothing."""

    def clear(self) -> None:
        """Forget it: the measurement has ended, or is to begin afresh."""


@dataclass(frozen=True)
class Hooks(Generic[S]):
    """What a source calls while it measures.

    By default nothing is heard, guarded or kept. begin, tick: a subject begins; the fraction of the work that is done,
    from 0 to 1 for each subject. say: a sentence for the user. guard: entered around all code of a plugin. in_flight:
    what this source keeps of the subjects.
    """

    begin: Callable[[S], None] = lambda subject: None
    tick: Callable[[float], None] = lambda fraction: None
    say: Callable[[str], None] = lambda text: None
    guard: Callable[[S], AbstractContextManager[object]] = lambda subject: nullcontext()
    in_flight: InFlight = field(default_factory=InFlight)


class Source(ABC):
    """Abstract; each concrete one has a single instance, in capitals, named as its `name`.

    name: the word in stored rows, in `Task.sources` and in `Collector.source`. label: the same in words.
    presets: its settings in each preset. size: the setting that the time of a cell grows with. typical_seconds: of a
    cell of the quick preset. code: the file, from the package's root, that measures: a change there, or in what it
    imports, makes stored cells stale.

    seeded: a cell for each seed of a run, else one. together: the subjects of one task and seed are measured in one
    call, in turn, and a tick ends one's turn. alone: nothing else may run on the machine meanwhile, and its numbers are
    of that machine.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]
    size: ClassVar[str]
    typical_seconds: ClassVar[float]
    code: ClassVar[str]
    seeded: ClassVar[bool] = True
    together: ClassVar[bool] = False
    alone: ClassVar[bool] = False

    @abstractmethod
    def measure(self, subjects: Sequence[S], hooks: Hooks[S]) -> dict[S, Result]:
        """Measure them all; what one raises leaves the others alone. Raises Unwritable only."""

    def in_flight(self, store: Store, part: str) -> InFlight:
        """What is kept in this store of the subject whose part this will be."""
        return InFlight()

    def seconds(self, settings: Any) -> float:
        """About how long a cell with these settings takes, on a machine of 2026."""
        return self.typical_seconds * float(getattr(settings, self.size) / getattr(self.presets["quick"], self.size))

    def __reduce__(self) -> str:
        """Pickled by reference, so that a worker process has the same instance."""
        return self.name.upper()

    def __repr__(self) -> str:
        return self.name.upper()


def attempt(subject: S, hooks: Hooks[S], measure: Callable[[S], Outcome]) -> Result:
    """The outcome of `measure`, under the subject's guard, or what it raised."""
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
    """What `Source.measure` answers where each subject is measured by itself."""
    results: dict[S, Result] = {}
    for subject in subjects:
        hooks.begin(subject)
        results[subject] = attempt(subject, hooks, measure)
    return results
