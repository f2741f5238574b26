"""Times of a training step: `python scripts/step_times.py [FILE]` writes the source of the README's table of speed.

Ours over the deterministic floor, and Storchastic's and Pyro's over ours, in CPU seconds: each pair in one process at
one thread, by `benchmarks/`. Needs the extra `peers`; some minutes on an idle core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "results" / "reference" / "peers" / "steps.csv"
sys.path.append(str(ROOT / "benchmarks"))
PAIRS = 20


def main() -> None:
    from peer_steps import PAIRS as PEERS

    lines = []
    for ours, arch in dict.fromkeys((ours, arch) for _, ours, _, arch in PEERS):
        lines.append(
            {"ours": ours, "arch": arch, "step": "dvae-bench", "over": "floor"} | ratio("floor_steps", ours, arch)
        )
    for peer, ours, theirs, arch in PEERS:
        found = ratio("peer_steps", peer, ours, theirs, arch)
        lines.append({"ours": ours, "arch": arch, "step": f"{peer} {version(peer)}", "over": "dvae-bench"} | found)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else STORED
    pd.DataFrame(lines).to_csv(out, index=False)


def ratio(script: str, *arguments: str) -> dict[str, float]:
    """value, lo, hi of the ratio of two steps' times, in a process of its own: both packages patch torch."""
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / f"{script}.py"), *arguments, str(PAIRS)]
    environment = {"DVAE_BENCH_DATA": "embedded"} | os.environ
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(*arguments, found, flush=True)
    return {key: round(found[key], 4) for key in ("value", "lo", "hi")}


if __name__ == "__main__":
    main()
