"""A Ray cluster of two nodes on this machine, one of which is killed while cells are measured on both.

`python ray_process.py FOLDER`, where nothing but the loopback is reachable; prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

FOLDER = Path(sys.argv[1])
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 gives its workers next to nothing beside other tests
    "MARKS": str(FOLDER / "marks"),
}

from dvae_bench.bench.run.cells import Cell, Place, plan  # noqa: E402
from dvae_bench.bench.run.context import cpu_name  # noqa: E402
from dvae_bench.bench.run.executors import Execution, Limits  # noqa: E402
from dvae_bench.bench.run.executors.ray_cluster import Work, _check  # noqa: E402
from dvae_bench.bench.run.presets import Preset  # noqa: E402
from dvae_bench.bench.run.runner import Progress  # noqa: E402
from dvae_bench.bench.sources import CLOCK, DRAWS, STEPS  # noqa: E402
from dvae_bench.bench.sources.settings import ClockSettings, DrawSettings, TrainSettings  # noqa: E402
from dvae_bench.bench.sources.timing.clock import steady_host  # noqa: E402
from dvae_bench.bench.store.store import Store  # noqa: E402
from dvae_bench.estimators.registry import ESTIMATORS, TASKS  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

PLUGIN = '''
"""Estimators that mark where they run; one ends its process."""

import os
import tempfile
import time

import ray
from dvae_bench.estimators.score_function.reinforce import Reinforce


class Marks(Reinforce):
    name = "marks"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "none"

    def sample(self, latent, generator):
        if ray.is_initialized():  # not where it is timed or isolated
            node = ray.get_runtime_context().get_node_id()
            tempfile.mkstemp(prefix=f"{node}-", dir=os.environ["MARKS"])
            time.sleep(0.02)
        return super().sample(latent, generator)


class Kills(Marks):
    name = "kills"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "none"

    def sample(self, latent, generator):
        super().sample(latent, generator)
        os._exit(9)
'''
TINY = Preset(
    "tiny",
    {
        DRAWS: DrawSettings(blocks=8, rows=8, tuning_steps=2),
        STEPS: TrainSettings(steps=2, evaluations=1, images=10, iw_images=5, iw_samples=2, variance_draws=4),
        CLOCK: ClockSettings(warmup=1, repetitions=6, seconds=0.0, rows=10),
    },
)


def grid(estimators: list[str], tasks: list[str], seeds: int) -> list[Cell]:
    place = Place(device_name=cpu_name(), data="mnist-5k")
    return plan(ESTIMATORS.select(estimators), TASKS.select(tasks), TINY, place, seeds)


def refusal(cell: Cell, part: str) -> str:
    try:
        _check(Work((cell,), (part,), 1, Limits(), None, ()))
    except RuntimeError as error:
        return str(error)
    return ""


def main() -> None:
    plugin = FOLDER / "marks.py"
    plugin.write_text(PLUGIN)
    (FOLDER / "marks").mkdir()
    ESTIMATORS.add_file(plugin)
    node = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"node_ip_address": "127.0.0.2", **node})
    second = cluster.add_node(node_ip_address="127.0.0.3", **node)
    reported: list[tuple[str, str]] = []
    marks: dict[str, int] = {}

    def end(cell: Cell, status: str, reason: str, seconds: float) -> None:
        reported.append((str(cell), status))
        begun = len(list((FOLDER / "marks").glob(f"{second.node_id}-*")))
        if begun and not marks and len(reported) >= 12:
            marks["before"] = begun
            cluster.remove_node(second, allow_graceful=False)

    cells = grid(["marks", "rloo"], ["bit:d=2", "mnist-vae:arch=linear"], 10)
    store = Store(FOLDER / "ray")
    counts = Execution(ray=cluster.address).run(cells, store, Progress(end=end))
    guarded = Execution(ray=cluster.address, limits=Limits(isolate=True, timeout=60.0, memory=2**30))
    deadly = [cell for cell in grid(["kills"], ["bit:d=2"], 1) if cell.source is DRAWS]
    report = {
        "counts": counts,
        "reported": reported,
        "marks of the second node, at its death": marks["before"],
        "again": Execution(ray=cluster.address).run(cells, store, Progress()),
        "isolated": guarded.run(grid(["rloo"], ["bit:d=3"], 1), store, Progress()),
        "deadly": Execution(ray=cluster.address).run(deadly, store, Progress()),
        "other code": refusal(cells[0], "0" * 64),
        "other data": refusal(other := replace(cells[0], data="mnist"), other.part()),
    }
    cluster.shutdown()
    steady_host(threads=1)
    here = Store(FOLDER / "here")
    Execution().run(cells, here, Progress())
    print(json.dumps(report))


if __name__ == "__main__":
    main()
