"""A training step with an RBM as prior over that with the fixed prior, in pairs, and the time of its log Z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.tasks.vae.autoencoder import FINAL_CHAINS
from dvae_bench.tasks.vae.boltzmann import TEMPERATURES, Boltzmann
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from pairing import paired_ratio

SIDE = 100


@pytest.mark.parametrize("name", ["gumbel-softmax", "rloo"])
def test_step_over_fixed_prior(benchmark: Callable, name: str) -> None:
    """100 + 100 bits, 100 chains, 10 sweeps; the limit is 1.45."""
    steps = []
    for prior in ("rbm", "fixed"):
        task = MnistVae(prior=prior)
        steps.append(TrainStep(task, estimator(name, *task.layers), seed=0))
    x = next(task.batches(stream(0, "data")))
    rbm, fixed = steps
    benchmark.group = "training step, nonlinear, RBM 100 + 100"
    benchmark.extra_info["over_fixed_prior"] = asdict(paired_ratio(lambda: rbm(x), lambda: fixed(x), least=20))
    benchmark.pedantic(rbm, args=(x,), rounds=6, iterations=1)


def test_annealed_importance_sampling(benchmark: Callable) -> None:
    """1,024 chains and 1,000 temperatures; the limit is 3 s."""
    torch.manual_seed(0)
    machine = Boltzmann(SIDE, SIDE)
    with torch.no_grad():
        machine.weight.normal_(0, 0.15)
    benchmark.group = "log Z of RBM 100 + 100"
    benchmark.pedantic(machine.ais, args=(FINAL_CHAINS, TEMPERATURES, stream(0, "evaluation")), rounds=2, iterations=1)
