"""Bias of public code beside ours: `python scripts/peers.py [FOLDER]` measures both; writes a table and its picture.

Needs the extra `peers`. Storchastic and Pyro patch torch on import, so each plugin file has a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import public_code
from dvae_bench.bench.report import tables_of
from dvae_bench.bench.report.tables.table import Table
from dvae_bench.bench.report.verdicts import BIASED, UNBIASED
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.run.runner import Progress
from dvae_bench.bench.run.session import Session
from dvae_bench.bench.sources import DRAWS
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS, TASKS

ROOT = Path(__file__).resolve().parent.parent
OURS, OURS_IS = "ours", "dvae-bench"
PLUGINS = ("storchastic_peers", "reinmax_peer", "pyro_peers")
PACKAGES = {"storch-": "storchastic", "package-": "reinmax", "pyro-": "pyro-ppl"}
TOYS = ("bit:d=3", "bit-table:d=3", "category-table")
SLOW = {"storch-unordered-set": DrawSettings(rows=500), "storch-without-replacement": DrawSettings(rows=1000)}
METHODS = {
    "exact": ("exact", "pyro-enum"),
    "REINFORCE": ("reinforce", "storch-reinforce", "pyro-tracegraph"),
    "leave-one-out, 2 samples": ("rloo", "storch-loo"),
    "ARM": ("arm", "storch-arm"),
    "DisARM": ("disarm", "storch-disarm"),
    "REBAR": ("rebar", "storch-rebar"),
    "RELAX": ("relax", "storch-relax"),
    "sum and sample, k = 2": ("sum-and-sample:k=2", "storch-rao-blackwell"),
    "unordered set, k = 2": ("unordered-set:k=2", "storch-unordered-set"),
    "without replacement, k = 2": ("storch-without-replacement",),
    "Gumbel-softmax": ("gumbel-softmax", "storch-gumbel-softmax"),
    "straight-through Gumbel-softmax": ("st-gumbel-softmax", "storch-st-gumbel-softmax"),
    "ReinMax": ("reinmax", "package-reinmax"),
}
BIASED_BY_DESIGN = ("Gumbel-softmax", "straight-through Gumbel-softmax", "ReinMax")
METHOD_OF = {name: method for method, names in METHODS.items() for name in names}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["measure"]:
        return measure(arguments[1], Path(arguments[2]))
    out = Path(arguments[0]) if arguments else ROOT / "results" / "reference" / "peers"
    with tempfile.TemporaryDirectory() as folder:
        for code in (OURS, *PLUGINS):
            subprocess.run([sys.executable, "-W", "ignore", __file__, "measure", code, folder], check=True)
        rows = Store.open(Path(folder)).rows()
    out.mkdir(parents=True, exist_ok=True)
    table = peers_table(tables_of(rows)[0])
    (out / "peers.csv").write_text(table.csv(), encoding="utf-8")
    (out / "peers.md").write_text(table.markdown(), encoding="utf-8")
    public_code.draw(out)


def measure(code: str, folder: Path) -> None:
    """Gradient draws of our estimators, or of those of one plugin file, into the results folder."""
    if code == OURS:
        names = [name for name in METHOD_OF if code_of(name) == OURS_IS]
    else:
        names = [plugin.name for plugin in ESTIMATORS.add_file(ROOT / "examples" / "peers" / f"{code}.py")]
    chosen, on = ESTIMATORS.select(names), TASKS.select(TOYS)
    session = Session.prepare(chosen, on, PRESETS["quick"], 1, "cpu", 1, folder, [DRAWS])
    session.cells = [replace(cell, settings=SLOW.get(cell.estimator.family, cell.settings)) for cell in session.cells]
    progress = Progress(
        end=lambda cell, status, reason, seconds: print(f"{status:12}{seconds:6.1f} s  {cell}", flush=True)
    )
    session.run(progress, fresh=True)


def peers_table(toys: Table) -> Table:
    """The toy table by method, with the package and whether it keeps its claim, without times."""
    lines = toys.numbers["verdict"] != "unsupported"
    who = pd.DataFrame(
        {
            "task": toys.numbers["task"],
            "method": toys.numbers["estimator"].map(METHOD_OF),
            "code": toys.numbers["estimator"].map(code_of),
        }
    )
    found_biased = (toys.numbers["verdict"] == BIASED) | toys.numbers["other_groups"].str.contains(BIASED + ":")
    by_design = who["method"].isin(BIASED_BY_DESIGN)
    who["claim"] = by_design.map({True: "biased by design", False: UNBIASED})
    who["kept"] = (~found_biased | by_design).map({True: "yes", False: "NO"})
    order = who[lines].assign(place=who["method"].map(list(METHODS).index)).sort_values(["task", "place", "code"]).index
    text = toys.text.drop(columns=["task", "device", "µs per draw"], errors="ignore")
    numbers = toys.numbers.drop(columns=["task", "data", "device", "time", "time_lo", "time_hi"], errors="ignore")
    return Table(
        "peers",
        "Bias of public code beside ours. The column kept is NO where an estimator that claims to be unbiased is "
        "found biased in the logits gradient or in another group (decoder gradient, value). "
        f"{toys.caption}",
        pd.concat([who, numbers], axis=1).loc[order],
        pd.concat([who, text], axis=1).loc[order],
    )


def code_of(estimator: str) -> str:
    """The package that an estimator comes from, with its version."""
    for prefix, package in PACKAGES.items():
        if estimator.startswith(prefix):
            return f"{package} {version(package)}"
    return OURS_IS


if __name__ == "__main__":
    main(sys.argv[1:])
