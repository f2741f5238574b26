"""The source of a plugin that a test writes: an estimator or a collector, by what makes it different."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

REINFORCE = "Estimate(value.mean(0), (expand_right(value.detach(), score) * score).mean(0))"
CONFORMS = 'cost = "1 evaluation"\nreference = "the tests"'


def estimator(name: str, code: str = "pass", answer: str = REINFORCE, facts: str = CONFORMS) -> str:
    """f(z) ∇ log q(z) at one draw of bits, but for the `code` before its `answer`, and its further facts."""
    return f'''"""A plugin of the tests."""

import ctypes, gc, os, random, signal, sys, tempfile, time, warnings
from pathlib import Path

import numpy as np
import torch
from dvae_bench.estimators.contract import Claim, Estimate, Estimator, expand_right


class Mine(Estimator):
    """f(z) ∇ log q(z)."""

    name = "{name}"
    latents = ("bernoulli",)
{indent(facts, "    ")}

    def claim(self):
        return Claim()

    def sample(self, latent, generator):
        return latent.sample(1, generator)

    def gradient(self, f, latent, draw):
{indent(code, "        ")}
        value, score = f(draw), latent.score(draw)
        return {answer}
'''


def collector(name: str, rows: str, source: str = "draws") -> str:
    """The collector that makes these `rows` of what its source measured; COUNT counts from 1."""
    return f'''"""A plugin of the tests."""

import itertools

from dvae_bench.bench.collectors.collector import Collector
from dvae_bench.bench.rows import row

COUNT = itertools.count(1)


class Mine(Collector):
    """{name}."""

    name = "{name}"
    source = "{source}"

    def rows(self, measured):
        return {rows}
'''


def installed(folder: Path, package: str, points: str, **modules: str) -> None:
    """What a package leaves in a folder of the path: modules, and entry points as `kind: name = value` on each line."""
    information = folder / f"{package}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = (line.split(": ", 1) for line in points.splitlines())
    (information / "entry_points.txt").write_text("".join(f"[dvae_bench.{kind}]\n{point}\n" for kind, point in lines))
    for name, source in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
