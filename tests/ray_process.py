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

from dvae_bench.bench.run.cell import Cell  # noqa: E402
from dvae_bench.bench.run.context import cpu_name  # noqa: E402
from dvae_bench.bench.run.executors import Execution, Limits  # noqa: E402
from dvae_bench.bench.run.executors.ray_cluster import Work, _check  # noqa: E402
from dvae_bench.bench.run.runner import Progress  # noqa: E402
from dvae_bench.bench.sources.timing.clock import steady_host  # noqa: E402
from dvae_bench.bench.store.store import Store  # noqa: E402
from dvae_bench.estimators.registry import ESTIMATORS  # noqa: E402
from plugin_files import estimator  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from tiny import grid, one_cell  # noqa: E402

MARKS = """
if ray.is_initialized():  # not where it is timed or isolated
    node = ray.get_runtime_context().get_node_id()
    tempfile.mkstemp(prefix=f"{node}-", dir=os.environ["MARKS"])
    time.sleep(0.02)
"""
"""An estimator marks where it runs."""


def refusal(cell: Cell, part: str) -> str:
    try:
        _check(Work((cell,), (part,), 1, Limits(), None, ()))
    except RuntimeError as error:
        return str(error)
    return ""


def main() -> None:
    (FOLDER / "marks").mkdir()
    for name, code in (("marks", MARKS), ("kills", f"{MARKS}\nos._exit(9)")):
        path = FOLDER / f"{name}.py"
        path.write_text(estimator(name, f"import ray\n{code}"))
        ESTIMATORS.add_file(path)
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

    here = {"device_name": cpu_name()}
    cells = grid("marks", "rloo", tasks=["bit:d=2", "mnist-vae:arch=linear"], seeds=10, **here)
    store = Store(FOLDER / "ray")
    counts = Execution(ray=cluster.address).run(cells, store, Progress(end=end))
    guarded = Execution(ray=cluster.address, limits=Limits(isolate=True, timeout=60.0, memory=2**30))
    report = {
        "counts": counts,
        "reported": reported,
        "marks of the second node, at its death": marks["before"],
        "again": Execution(ray=cluster.address).run(cells, store, Progress()),
        "isolated": guarded.run(grid("rloo", tasks="bit:d=3", **here), store, Progress()),
        "deadly": Execution(ray=cluster.address).run([one_cell("kills")], store, Progress()),
        "other code": refusal(cells[0], "0" * 64),
        "other data": refusal(other := replace(cells[0], data="mnist"), other.part()),
    }
    cluster.shutdown()
    steady_host(threads=1)
    Execution().run(cells, Store(FOLDER / "here"), Progress())
    print(json.dumps(report))


if __name__ == "__main__":
    main()
