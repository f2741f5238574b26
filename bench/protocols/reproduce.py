"""Runs a protocol: its trials on the selection seeds, each choice on the reporting seeds, and the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...estimators.names import UsageError
from ..report.tables.table import Table
from ..run.cell import Cell, Place
from ..run.screen import minutes
from ..run.session import Session
from ..sources import SOURCES, STEPS
from .forecast import Cost, costs, duration, fitting, trial_cells
from .probe import paces, toy_seconds
from .protocol import Method, Protocol
from .scale import Scale, Trial, settings_at, trial_settings_at, trials
from .search_table import search_table
from .selection import chosen
from .table import reproduction_table


@dataclass
class Reproduction:
    """One protocol in one results folder. Raises UsageError on unknown names before anything is measured.

    trial_pace, pace: the expected time of the cells of trials and of reports, as a multiple of their typical seconds.
    """

    protocol: Protocol
    scale: Scale
    session: Session
    place: Place
    trial_pace: float = 1.0
    pace: float = 1.0

    @classmethod
    def prepare(
        cls,
        protocol: Protocol,
        steps: int | None,
        seeds: int | None,
        most_trials: int | None,
        device: str,
        threads: int,
        folder: Path | None,
    ) -> Reproduction:
        """The protocol at a scale: with `steps`, `seeds` or `most_trials` where they are given."""
        if steps and steps > protocol.length:
            counted = SOURCES[protocol.source].counted
            raise UsageError(f"{protocol.name} has {protocol.length} {counted}; give --steps of at most that many")
        full = Scale.full(protocol)
        if most_trials and all(len(trials(protocol, *line, full)) == 1 for line in protocol.lines()):
            raise UsageError(f"{protocol.name} searches nothing; leave --trials out")
        if most_trials and most_trials > max(1, protocol.trials):
            why = f"has {protocol.trials} trials" if protocol.trials else "searches a grid"
            raise UsageError(f"{protocol.name} {why}; give --trials of at most {max(1, protocol.trials)}")
        scale = Scale(steps or protocol.length, seeds or protocol.seeds, most_trials or 0)
        tasks = {task for line in protocol.lines() for _, task in trials(protocol, *line, scale)}
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
            self._estimate_toys(say)
            return
        asked: dict[str, Any] = {"protocol": self.protocol.name, "budget": budget, "most": asdict(self.scale)}
        asked |= {"methods": [method.method for method in self.protocol.methods]}
        asked |= {"settings": list(self.protocol.settings), "values": dict(self.protocol.values)}
        earlier = self.session.store.context().get("reproduction", {})
        stored = Scale.stored(earlier.get("scale"), self.scale)
        if budget is not None and earlier.get("asked") == asked and stored is not None:
            self.scale = stored
        elif budget is not None or any(session.unfinished() for session in self.sessions()):
            end = time.perf_counter() + (duration(budget) if budget is not None else 0.0)
            measured = paces(self.protocol, self._probe)
            if budget is not None:
                self.scale = fitting(self.protocol, self.scale, end - time.perf_counter(), measured)
            self._estimate(costs(self.protocol, self.scale, measured), say)
        self.session.context["reproduction"] = {"asked": asked, "scale": asdict(self.scale)}
        self._announce(say)

    def _estimate(self, found: Mapping[str, tuple[Cost, Cost]], say: Callable[[str], None]) -> None:
        """Report the time of each setting, and keep the pace of the cells of trials and of reports."""
        tried, reported = (sum((both[kind] for both in found.values()), Cost()) for kind in (0, 1))
        typical = STEPS.seconds(settings_at(self.protocol, self.scale))
        self.trial_pace, self.pace = (cost.seconds / (typical * max(1, cost.cells)) for cost in (tried, reported))
        for setting, both in found.items():
            say(f"{setting}: {both[0].cells + both[1].cells} cells, {both[0] + both[1]}")
        say(f"{tried + reported} here, estimated from a few steps of each method in each setting")

    def _estimate_toys(self, say: Callable[[str], None]) -> None:
        """Report the time of the cells that are not finished, and keep its pace."""
        cells, counted = self.reporting().unfinished(), SOURCES[self.protocol.source].counted
        if cells:
            seconds = toy_seconds(cells)
            self.pace = seconds / sum(cell.source.seconds(cell.settings) for cell in cells)
            say(f"{len(cells)} cells to measure, about {minutes(seconds)} here, estimated from a few {counted} of each")

    def _announce(self, say: Callable[[str], None]) -> None:
        steps = self.scale.steps
        say(f"{self.protocol.name}: {self.protocol.citation}, {self.protocol.table}; numbers {self.protocol.numbers}")
        if self.protocol.source == STEPS.name:
            say(f"{self.count} cells of {steps} steps, {self.count * steps} steps in all, including the sweeps")
        if words := self.scale.words(self.protocol):
            say(f"{words}: no reproduction")
        if self.protocol.assumed:
            say(f"not read in the paper and chosen here: {self.protocol.choices}")
        for difference in self.protocol.differs:
            say(f"done otherwise here: {difference}")

    @property
    def count(self) -> int:
        lines = list(self.protocol.lines())
        return len(lines) * self.scale.seeds + sum(trial_cells(self.protocol, *line, self.scale) for line in lines)

    def sessions(self) -> Iterator[Session]:
        """The selection, if there is any, and then the session of the choices."""
        if (selection := self.selection()).cells:
            yield selection
        yield self.reporting()

    def selection(self) -> Session:
        """The trials of all lines that have a choice, on the selection seeds."""
        searches = [trials(self.protocol, *line, self.scale) for line in self.protocol.lines()]
        wanted = [trial for search in searches if len(search) > 1 for trial in search]
        settings = trial_settings_at(self.protocol, self.scale)
        return self._session(wanted, self.protocol.selection_seeds, settings, self.trial_pace)

    def reporting(self) -> Session:
        """The choice of each line, by the stored rows of the selection, on the reporting seeds."""
        choices = chosen(self.selection().rows(), self.protocol, self.scale)
        settings = settings_at(self.protocol, self.scale)
        return self._session(choices.values(), range(self.scale.seeds), settings, self.pace)

    def tables(self) -> Iterator[Table]:
        """What each method gained from its search, if there was any, and our numbers beside the published ones."""
        selection = self.selection().cells
        parts = [cell.part() for cell in (*selection, *self.reporting().cells)]
        rows = self.session.store.rows(parts)
        if selection and len((search := search_table(rows, self.protocol, self.scale)).numbers):
            yield search
        yield reproduction_table(rows, self.protocol, self.scale)

    def _session(self, wanted: Iterable[Trial], seeds: Iterable[int], settings: Any, pace: float) -> Session:
        seeds = list(seeds)
        cells = [self._cell(trial, seed, settings) for trial in dict.fromkeys(wanted) for seed in seeds]
        return replace(self.session, cells=cells, pace=pace)

    def _probe(self, method: Method, setting: str, scale: Scale) -> Cell:
        trial = trials(self.protocol, method, setting, scale)[0]
        return self._cell(trial, 0, settings_at(self.protocol, scale))

    def _cell(self, trial: Trial, seed: int, settings: Any) -> Cell:
        estimator, task = trial
        source = SOURCES[self.protocol.source]
        return Cell(estimator=estimator, task=task, source=source, seed=seed, place=self.place, settings=settings)


def at_paths(protocol: Protocol, values: Mapping[str, str]) -> Protocol:
    """The protocol with speed paths (hyper-parameters of the task), each stated as a difference from the paper."""
    differs = tuple(f"training takes the speed path {path}={value}" for path, value in values.items())
    return replace(protocol, values={**protocol.values, **values}, differs=(*protocol.differs, *differs))
