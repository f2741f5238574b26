"""Every estimator has a formula that KaTeX typesets."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pytest
from dvae_bench.estimators.registry import ESTIMATORS

FORMULAS = {plugin.name: plugin.facts.get("formula", "") for plugin in ESTIMATORS.builtin.values()}
SCRIPT = """
const [path, formulas] = [process.argv[1], JSON.parse(require("fs").readFileSync(0))];
const katex = require(path);
for (const [name, tex] of Object.entries(formulas)) {
  try { katex.renderToString(tex, { displayMode: true, strict: "error" }); } catch (error) { console.log(name); }
}
"""


def refused(formulas: Mapping[str, str]) -> list[str]:
    """The names of those that KaTeX cannot set."""
    katex = Path(str(files("dvae_bench.bench.page") / "vendor" / "katex.min.js"))
    command = ["node", "-e", SCRIPT, str(katex)]
    done = subprocess.run(command, input=json.dumps(formulas), capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_estimator_has_a_formula() -> None:
    assert [name for name, formula in FORMULAS.items() if not formula] == []


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH: apt-get install nodejs")
def test_katex_sets_them_all() -> None:
    assert refused(FORMULAS) == []
    assert refused({"open": r"\frac{1}{n", "unknown": r"\nosuchcommand", "fine": "x"}) == ["open", "unknown"]
