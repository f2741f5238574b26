"""The referee catches REBAR without the path of its conditioned sample, dv'/dφ, and acquits REBAR itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command_line import Command

WRONG_REBAR = '''
"""REBAR with the classic mistake: z̃ does not move with φ."""

from dvae_bench.estimators.control_variates.rebar import Rebar


class WrongRebar(Rebar):
    """z̃ is drawn given b, but its path is cut."""

    name = "wrong-rebar"
    latents = ("bernoulli", "categorical")
    hyperparameters = {"tau": {"default": 0.5, "above": 0.0}, "eta": {"default": 1.0}}

    def sample(self, latent, generator):
        draw = super().sample(latent, generator)
        return draw._replace(conditioned=draw.conditioned.detach())
'''


@pytest.mark.usefixtures("no_figures")
def test_a_wrong_rebar_is_biased(command: Command, plugin_file: Callable[..., Path], tmp_path: Path) -> None:
    path = plugin_file("wrong-rebar", source=WRONG_REBAR)
    ended = command(
        "run", "--plugin", path, "-e", "wrong-rebar", "-e", "rebar", "-t", "bit-table", "-o", tmp_path / "results"
    )
    assert ended.code == 0
    assert "claims contradicted: 1" in ended.out and "wrong-rebar" in ended.out.split("claims contradicted")[1]
    toys = pd.read_csv(tmp_path / "results" / "tables" / "toys.csv").set_index("estimator")
    assert toys["verdict"].to_dict() == {"wrong-rebar": "biased", "rebar": "unbiased"}
    assert toys.loc["wrong-rebar", "bias_rel_lo"] > 2 * toys.loc["rebar", "sdb"]
