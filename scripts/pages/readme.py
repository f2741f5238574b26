"""The generated parts of the README, each between two marks: the times of a training step, what was reproduced at full
length, and a training of results/reference beside the published order.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from dvae_bench.bench.report.numbers import MISSING, plain, with_interval
from dvae_bench.estimators.costs import documented
from dvae_bench.estimators.latents import LatentSpec
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS

from . import published
from .estimators import table

ROOT = Path(__file__).resolve().parent.parent.parent
MARKED = re.compile(r"(<!-- reference table: begin -->\n).*(<!-- reference table: end -->)", re.DOTALL)
FULL = re.compile(r"(<!-- full length: begin -->\n).*(<!-- full length: end -->)", re.DOTALL)
SPEED = re.compile(r"(<!-- step times: begin -->\n).*(<!-- step times: end -->)", re.DOTALL)
STEPS = "results/reference/peers/steps.csv"
PEERS = {"storchastic": "Storchastic", "pyro-ppl": "Pyro"}
TRAINING = "results/reference/mnist-bernoulli/tables/reproduction"
INTRODUCTION = (
    "Training ELBO in nats of a nonlinear VAE with 200 bits on dynamic MNIST after ten epochs, best first; three "
    "seeds, 95 % intervals in brackets ([the run](results/reference/mnist-bernoulli), `make training`). *published* is "
    "the order of the same estimators in the table of Shi et al. 2022, quoted from memory, after 167 times as many "
    "steps; *here* is their order in this run. {}"
)


def page() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = SPEED.sub(lambda found: f"{found[1]}{_step_times()}{found[2]}", text)
    text = FULL.sub(lambda found: f"{found[1]}{published.full_length()}\n{found[2]}", text)
    return MARKED.sub(lambda found: f"{found[1]}{_table()}{found[2]}", text)


def _step_times() -> str:
    """One line per estimator: our step over the floor, and each peer's step over ours."""
    stored = pd.read_csv(ROOT / STEPS)
    ratios = {
        (each["ours"], each["step"].split()[0]): with_interval(each["value"], each["lo"], each["hi"])
        for each in stored.to_dict("records")
    }
    codes = ("dvae-bench", *PEERS)
    rows = [
        (f"`{name}`", *(ratios.get((name, code), MISSING) for code in codes))
        for name in stored["ours"].drop_duplicates()
    ]
    header = ("estimator", "ours / floor", *(f"{peer} / ours" for peer in PEERS.values()))
    return f"{table(header, rows)}\n"


def _table() -> str:
    numbers = pd.read_csv(ROOT / f"{TRAINING}.csv").sort_values("ours", ascending=False)
    rows = [
        (
            f"`{each['estimator']}`",
            str(_evaluations(each["estimator"])),
            with_interval(each["ours"], each["lo"], each["hi"]),
            plain(each["rank_theirs"]) or MISSING,
            plain(each["rank_ours"]) or MISSING,
        )
        for each in numbers.to_dict("records")
    ]
    order = (ROOT / f"{TRAINING}.md").read_text(encoding="utf-8").split("MNIST: ")[1].split("\n")[0]
    header = ("estimator", "evaluations of f", "ELBO", "published", "here")
    return f"{INTRODUCTION.format(f'Comparison of the two orders: {order}')}\n\n{table(header, rows)}"


def _evaluations(name: str) -> int:
    parsed = Name.parse(name)
    return documented(ESTIMATORS.find(parsed.family).load()(LatentSpec.bernoulli(200), **parsed.values))[0]
