"""The source `descent`: the training of a toy's parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.bench.collectors.descent import Descent
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.descent.descent import descend
from dvae_bench.bench.sources.settings import DescentSettings
from dvae_bench.bench.sources.streams import stream
from dvae_bench.estimators.latents import expectation
from dvae_bench.estimators.names import Name, Unsupported
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.toys.polynomial import Polynomial
from dvae_bench.tasks.toys.two_layer import TwoLayer
from scipy import stats

TOY = Polynomial(n=2)


def layers(estimator: str, toy: Polynomial | TwoLayer = TOY) -> Layers:
    name = Name.parse(estimator)
    return Layers(ESTIMATORS.find(name.family).load(), name.values, toy, torch.device("cpu"))


def test_with_the_exact_gradient_it_is_adam_on_the_expectation() -> None:
    settings = DescentSettings(steps=30, evaluations=3, replicates=2, batch=4, lr=0.05)
    epochs = descend(layers("exact"), TOY, settings, seed=7, tick=lambda fraction: None)
    params = TOY.start(2, stream(7, "start")).clone().requires_grad_()
    adam, losses = torch.optim.Adam([params], 0.05), []
    for _ in range(30):
        latent = TOY.latent(params)
        loss = expectation(TOY.objective(latent), latent)
        losses.append(loss.detach())
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    means = torch.stack(losses).view(3, 10, 2).mean(1).double().numpy()
    np.testing.assert_allclose([epoch.loss for epoch in epochs], means, rtol=1e-4)
    assert [epoch.step for epoch in epochs] == [10, 20, 30] and (np.diff(means, axis=0) < 0).all()


def test_trainings_in_one_cell_are_independent() -> None:
    """The losses of 200 trainings of one step differ as their draws do: no correlation. False alarm 1e-4."""
    settings = DescentSettings(steps=2, evaluations=2, replicates=200, batch=1)
    first, second = descend(layers("straight-through"), TOY, settings, seed=0, tick=lambda fraction: None)
    assert len(set(first.loss.tolist())) > 1
    correlation = stats.pearsonr(first.loss, second.loss)
    assert correlation.pvalue > 1e-4


def test_the_loss_of_the_first_step_is_the_expectation() -> None:
    settings = DescentSettings(steps=1, replicates=1000, batch=2)
    (epoch,) = descend(layers("straight-through"), TOY, settings, seed=1, tick=lambda fraction: None)
    latent = TOY.latent(TOY.start(1000, stream(1, "start")))
    gap = epoch.loss - expectation(TOY.objective(latent), latent).numpy()
    assert abs(gap.mean()) < stats.norm.isf(5e-5) * gap.std(ddof=1) / np.sqrt(1000)
    (row,) = Descent().rows([epoch])
    assert row["metric"] == "loss_epoch" and row["blocks"] == epoch.loss.tolist()


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    settings = DescentSettings(steps=20, evaluations=10, replicates=1, lr=float("inf"))
    epochs = descend(layers("straight-through"), TOY, settings, seed=0, tick=lambda fraction: None)
    assert not epochs[-1].finite and len(epochs) < 10 and "not finite by step" in epochs[-1].reason


def test_two_layers_are_unsupported() -> None:
    toy = TwoLayer()
    with pytest.raises(Unsupported, match="more than one stochastic layer"):
        descend(layers("reinforce", toy), toy, DescentSettings(), 0, lambda fraction: None)
