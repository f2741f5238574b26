"""Workers of a Ray cluster. Each measures in a temporary folder and sends its parts back to the one store.

A cell whose worker or node is lost may be measured again; it is stored once, since a part is stored when it arrives.
"""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ....estimators.names import UsageError
from ....tasks.vae.datasets import Given, data_folder, load_mnist, look_in
from ...sources.timing.clock import steady_host
from ...store.store import Store
from ..cell import Place
from ..context import device_name
from ..runner import Ended, Outcome, Progress, Unit, measure_unit
from .limits import Limits
from .process import Lost
from .processes import Processes, add_plugins, plugin_files

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported; a cluster started here sends nothing

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode
except ImportError as error:
    raise UsageError(f"--executor ray needs Ray ({error}); install dvae-bench[ray]") from error


@dataclass(frozen=True)
class Work:
    """A unit, and everything that a worker on another machine needs to measure it as this machine would.

    parts: the name of each cell's part. data: the folder of images. plugins: name and text of each file of --plugin.
    """

    unit: Unit
    parts: tuple[str, ...]
    threads: int
    limits: Limits
    data: Given
    plugins: tuple[tuple[str, str], ...]


def connect(address: str) -> int:
    """Join the cluster, once; returns its number of CPUs. Raises UsageError when there is no cluster."""
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"no Ray cluster at --address {address} ({error}); start one with `ray start`") from error
    return int(ray.cluster_resources().get("CPU", 1))


Measured = list[tuple[Outcome, bytes]] | Lost


class RayCluster:
    """Implements `Workers`: a unit takes `threads` CPUs, and a GPU on an accelerator; a timing takes a whole machine.

    Raises UsageError when there is no such cluster, or when no machine of it has the device to be timed.
    """

    tries = 3

    def __init__(self, address: str, store: Store, place: Place, limits: Limits) -> None:
        self.slots = max(64, 4 * connect(address))
        self.store, self.place, self.limits = store, place, limits
        self.plugins = tuple((path.name, path.read_text(encoding="utf-8")) for path in plugin_files())
        gpus = 0 if place.device == "cpu" else 1
        self.least = {"CPU": place.threads, "GPU": gpus}
        self.measure = ray.remote(num_cpus=place.threads, num_gpus=gpus, max_retries=0)(_measure)
        self.ask = ray.remote(num_cpus=0, num_gpus=gpus, max_retries=0)(_device_name)
        self.running: dict[Any, Unit] = {}
        self.timed_on: dict[Any, str] = {}

    @functools.cached_property
    def lone_slots(self) -> int:
        return max(1, len(self._machines()))

    def submit(self, unit: Unit) -> None:
        parts = tuple(cell.part() for cell in unit)
        work = Work(unit, parts, self.place.threads, self.limits, data_folder(), self.plugins)
        # Ray keeps workers of different environments apart, as third-party code of different origins has to be
        environment = {"env_vars": {"DVAE_BENCH_ORIGINS": " ".join(sorted(unit[0].loads))}} if unit[0].loads else {}
        measure = self.measure.options(runtime_env=environment)
        if not unit[0].source.alone:
            self.running[measure.remote(work)] = unit
            return
        machines = self._machines()
        if not machines:
            raise UsageError(
                f"no machine of the cluster has the device to be timed, {self.place.device_name}; start the run on a "
                "machine like those of the cluster"
            )
        node = min(machines, key=list(self.timed_on.values()).count)
        place = OnNode(node, soft=False)
        reference = measure.options(num_cpus=machines[node], scheduling_strategy=place).remote(work)
        self.running[reference], self.timed_on[reference] = unit, node

    def ended(self) -> list[tuple[Unit, Ended | Lost]]:
        (reference, *_), _ = ray.wait(list(self.running), num_returns=1)
        unit = self.running.pop(reference)
        self.timed_on.pop(reference, None)
        try:
            measured: Measured = ray.get(reference)
        except RayTaskError as error:
            return [(unit, Lost(str(error), again=False))]
        except RayError as error:
            return [(unit, Lost(f"its worker or node was lost ({type(error).__name__}): {error}"))]
        if isinstance(measured, Lost):
            return [(unit, measured)]
        for cell, (_, content) in zip(unit, measured, strict=True):
            self.store.put(cell.part(), content)
        return [(unit, [(cell, outcome) for cell, (outcome, _) in zip(unit, measured, strict=True)])]

    def close(self) -> None:
        for reference in self.running:
            ray.cancel(reference, force=True)
        self.running = {}
        ray.shutdown()

    def _machines(self) -> dict[str, float]:
        """Node ID -> number of CPUs, for one node of each machine that has this device."""
        able = [
            n for n in ray.nodes() if n["Alive"] and all(n["Resources"].get(k, 0) >= v for k, v in self.least.items())
        ]
        nodes = {node["NodeManagerHostname"]: node for node in able}.values()
        here = {node["NodeID"]: OnNode(node["NodeID"], soft=False) for node in nodes}
        asked = {
            node: self.ask.options(scheduling_strategy=place).remote(self.place.device) for node, place in here.items()
        }
        cpus = {node["NodeID"]: node["Resources"]["CPU"] for node in nodes}
        return {node: cpus[node] for node, name in asked.items() if self._answer(name) == self.place.device_name}

    @staticmethod
    def _answer(reference: Any) -> str:
        try:
            return ray.get(reference)
        except RayError:
            return ""


def _device_name(device: str) -> str:
    return device_name(torch.device(device))


def _measure(work: Work) -> Measured:
    """The outcomes and parts of a unit, measured in a temporary folder."""
    steady_host(work.threads)
    _prepare(work.data, work.plugins)
    _check(work)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        if work.limits == Limits():
            ended: Ended | Lost = measure_unit(work.unit, store, Progress())
        else:
            with closing(Processes(store, work.threads, 1, work.limits)) as process:
                process.submit(work.unit)
                ((_, ended),) = process.ended()
        if isinstance(ended, Lost):
            return ended
        outcomes = dict(ended)
        return [(outcomes[cell], store.content(part)) for cell, part in zip(work.unit, work.parts, strict=True)]


@functools.cache
def _prepare(data: Given, plugins: tuple[tuple[str, str], ...]) -> tempfile.TemporaryDirectory[str]:
    """Once per worker: set the folder of the images, and add the plugins given with --plugin.

    Returns the folder of the plugins' files, which the cache keeps alive as long as the worker.
    """
    if data.folder:
        look_in(*data)
    folder = tempfile.TemporaryDirectory()
    files = [Path(folder.name) / name for name, _ in plugins]
    for file, (_, text) in zip(files, plugins, strict=True):
        file.write_text(text, encoding="utf-8")
    add_plugins(files)
    return folder


def _check(work: Work) -> None:
    """Raises RuntimeError when this machine has other code or data than the one that planned the cells."""
    for cell, part in zip(work.unit, work.parts, strict=True):
        if cell.part() != part:
            raise RuntimeError(
                "dvae-bench, a plugin or torch differs between this worker and the machine that sent the cell; install "
                "the same versions"
            )
        if cell.place.data and load_mnist().name != cell.place.data:
            raise RuntimeError(
                f"this worker has {load_mnist().name}, not {cell.place.data}; put the same images where it finds them"
            )
