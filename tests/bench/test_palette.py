"""One colour per family, which colour-blind readers can tell apart too."""

from __future__ import annotations

import numpy as np
from dvae_bench.bench.report.palette import FAMILY_COLOURS, OTHERS, PLUGIN, colour
from dvae_bench.estimators.registry import ESTIMATORS

XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
SIGHT = {  # Machado et al. 2009, severity 1, on linear RGB
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
LEAST = 12.0


def lab(colours: list[str], sight: np.ndarray) -> np.ndarray:
    """CIELAB [n, 3] of #rrggbb as that sight perceives them."""
    rgb = np.array([[int(each[i : i + 2], 16) / 255 for i in (1, 3, 5)] for each in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    relative = np.clip(linear @ sight.T, 0, 1) @ XYZ.T / XYZ.sum(1)
    f = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def nearest(colours: list[str]) -> float:
    """The least difference of two of the colours, over all sights."""
    i, j = np.triu_indices(len(colours), 1)
    seen = [lab(colours, sight) for sight in SIGHT.values()]
    return min(float(np.linalg.norm(each[i] - each[j], axis=1).min()) for each in seen)


def test_families_differ_to_every_sight() -> None:
    assert nearest([*FAMILY_COLOURS.values(), OTHERS]) > LEAST
    assert nearest(["#d62728", "#2ca02c"]) < LEAST, "the red and the green of matplotlib's default"


def test_every_family_has_a_colour_and_there_are_at_most_ten() -> None:
    assert {plugin.family for plugin in ESTIMATORS.builtin.values()} == {*FAMILY_COLOURS} - {PLUGIN}
    assert len(set(FAMILY_COLOURS.values())) == len(FAMILY_COLOURS) <= 11, "ten, and a reader's own"
    assert colour("rloo:n=4") == colour("reinforce") == FAMILY_COLOURS["score_function"]
    assert colour("mine") == FAMILY_COLOURS[PLUGIN]
