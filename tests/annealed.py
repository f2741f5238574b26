"""What annealed importance sampling draws, and the standard error of its log Z."""

from __future__ import annotations

import pytest
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from torch import Tensor


def log_weights(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The log weights [chains] of each annealing from here on."""
    anneal, found = Boltzmann._annealed, []

    def annealed(machine: Boltzmann, state: Tensor, path: list[float], generator: object) -> Tensor:
        found.append(anneal(machine, state, path, generator))
        return found[-1]

    monkeypatch.setattr(Boltzmann, "_annealed", annealed)
    return found


def log_mean_error(log_weights: Tensor) -> float:
    """The standard error of the logarithm of the mean weight, by the delta method."""
    weights = log_weights.softmax(0)
    return float(weights.std() / weights.mean()) / len(weights) ** 0.5
