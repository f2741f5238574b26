"""Runs a protocol: its sweep on the selection seeds, each choice on the reporting seeds, and the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from ...estimators.names import Name, UsageError, nearest
from ...estimators.registry import matches
from ..report.tables.table import Table
from ..run.cell import Cell, Place
from ..run.screen import minutes
from ..run.session import Session
from ..sources import SOURCES, STEPS
from .forecast import cells_of, duration, fitting, paces, seconds
from .library import load
from .protocol import Method, Protocol
from .scale import Scale, Variant, settings_at, variants
from .selection import chosen
from .table import reproduction_table


@dataclass
class Reproduction:
    """One protocol in one results folder. Raises UsageError on unknown names before anything is measured."""

    protocol: Protocol
    scale: Scale
    session: Session
    place: Place

    @classmethod
    def prepare(
        cls,
        name: str,
        patterns: list[str],
        steps: int | None,
        seeds: int | None,
        device: str,
        threads: int,
        folder: Path | None,
        speed: Mapping[str, str],
    ) -> Reproduction:
        protocol = at_speed(only(load(name), patterns), speed)
        if steps and steps > protocol.length:
            counted = SOURCES[protocol.source].counted
            raise UsageError(f"{protocol.name} has {protocol.length} {counted}; give --steps of at most that many")
        scale = Scale(steps or protocol.length, seeds or protocol.seeds)
        tasks = {task for line in protocol.lines() for _, task in variants(protocol, *line, scale)}
        session, place = Session.open(tasks, device, threads, folder or Path("results") / protocol.name)
        return cls(protocol, scale, session, place)

    def forecast(self, budget: str | None, say: Callable[[str], None]) -> None:
        """Report the plan and the time it takes on this machine; with a budget, scale the protocol down to it first.

        budget: a duration such as `2h`. If an earlier call in this folder had the same budget, its scale is kept, so
        that finished cells are reused. Raises UsageError when the budget is malformed, too small, or of a toy, whose
        protocols take minutes.
        """
        if self.protocol.source != STEPS.name:
            if budget is not None:
                raise UsageError(f"{self.protocol.name} measures toys, which --budget does not scale; give --steps")
            self.session.context["reproduction"] = {"scale": asdict(self.scale)}
            self._announce(say)
            return
        methods = [method.method for method in self.protocol.methods]
        asked = {"protocol": self.protocol.name, "methods": methods, "budget": budget, "most": asdict(self.scale)}
        asked |= {"values": dict(self.protocol.values)}
        earlier = self.session.store.context().get("reproduction", {})
        stored = Scale.stored(earlier.get("scale"), self.scale)
        if budget is not None and earlier.get("asked") == asked and stored is not None:
            self.scale = stored
        else:
            end = time.perf_counter() + (duration(budget) if budget is not None else 0.0)
            measured = paces(self.protocol, self._probe)
            if budget is not None:
                self.scale = fitting(self.protocol, self.scale, end - time.perf_counter(), measured)
            total = seconds(self.protocol, self.scale, measured)
            self.session.pace = total / (self.count * STEPS.seconds(settings_at(self.protocol, self.scale)))
            say(f"about {minutes(total)} here, estimated from a few steps of each method in each setting")
        self.session.context["reproduction"] = {"asked": asked, "scale": asdict(self.scale)}
        self._announce(say)

    def _announce(self, say: Callable[[str], None]) -> None:
        steps = self.scale.steps
        say(f"{self.protocol.name}: {self.protocol.citation}, {self.protocol.table}; numbers {self.protocol.numbers}")
        if self.protocol.source == STEPS.name:
            say(f"{self.count} cells of {steps} steps, {self.count * steps} steps in all, including the sweeps")
        if words := self.scale.words(self.protocol):
            say(f"{words}: no reproduction")
        if self.protocol.assumed:
            say(f"not read in the paper and chosen here: {self.protocol.assumed}")
        for difference in self.protocol.differs:
            say(f"done otherwise here: {difference}")

    @property
    def count(self) -> int:
        return sum(cells_of(self.protocol, *line, self.scale) for line in self.protocol.lines())

    def sessions(self) -> Iterator[Session]:
        """The selection, if there is any, and then the session of the choices."""
        if (selection := self.selection()).cells:
            yield selection
        yield self.reporting()

    def selection(self) -> Session:
        """The sweeps of all lines on the selection seeds."""
        sweeps = [variants(self.protocol, *line, self.scale) for line in self.protocol.lines()]
        wanted = [variant for sweep in sweeps if len(sweep) > 1 for variant in sweep]
        return self._session(wanted, self.protocol.selection_seeds)

    def reporting(self) -> Session:
        """The choice of each line, by the stored rows of the selection, on the reporting seeds."""
        choices = chosen(self.selection().rows(), self.protocol, self.scale)
        return self._session(choices.values(), range(self.scale.seeds))

    def table(self) -> Table:
        rows = self.session.store.rows([cell.part() for cell in (*self.selection().cells, *self.reporting().cells)])
        return reproduction_table(rows, self.protocol, self.scale)

    def _session(self, wanted: Iterable[Variant], seeds: Iterable[int]) -> Session:
        cells = [self._cell(variant, seed, self.scale) for variant in dict.fromkeys(wanted) for seed in seeds]
        return replace(self.session, cells=cells)

    def _probe(self, method: Method, setting: str, scale: Scale) -> Cell:
        return self._cell(variants(self.protocol, method, setting, scale)[0], 0, scale)

    def _cell(self, variant: Variant, seed: int, scale: Scale) -> Cell:
        estimator, task = variant
        settings = settings_at(self.protocol, scale)
        source = SOURCES[self.protocol.source]
        return Cell(estimator=estimator, task=task, source=source, seed=seed, place=self.place, settings=settings)


def at_speed(protocol: Protocol, values: Mapping[str, str]) -> Protocol:
    """The protocol with speed paths (hyper-parameters of the task), each stated as a difference from the paper."""
    differs = tuple(f"training takes the speed path {path}={value}" for path, value in values.items())
    return replace(protocol, values={**protocol.values, **values}, differs=(*protocol.differs, *differs))


def only(protocol: Protocol, patterns: Iterable[str]) -> Protocol:
    """The protocol with only the methods whose label, estimator or family matches a pattern; all without patterns.

    Raises UsageError when a pattern matches nothing.
    """
    kept: set[str] = set()
    for pattern in patterns:
        found = [m.method for m in protocol.methods if fnmatchcase(m.method, pattern) or _is(m.estimator, pattern)]
        if not found:
            labels = [method.method for method in protocol.methods]
            raise UsageError(f"{protocol.name} has no method {pattern!r}{nearest(pattern, labels)}")
        kept.update(found)
    return replace(protocol, methods=tuple(method for method in protocol.methods if method.method in kept))


def _is(estimator: str, pattern: str) -> bool:
    return any(matches(name, pattern) for name in Name.sweep(estimator))
