"""The number of active units, and the images that a trained model shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from dvae_bench.bench.collectors.images import Images
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.estimators import estimator
from dvae_bench.tasks.vae.active_units import active_units
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from tiny import TRAINING

SETTINGS = replace(TRAINING, steps=2, evaluations=2, images=50)


def test_bits_are_active_above_a_variance_of_a_hundredth() -> None:
    """Three bits at .5 ± d have variance d²: 0, .0099 and .0101 (over so many images that n - 1 does not matter)."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(50_000).unsqueeze(-1)
    means = 0.5 + signs * torch.tensor([0.0, 0.0099, 0.0101], dtype=torch.float64).sqrt()
    assert int(active_units(means)) == 1 and int(active_units(means[:, :2])) == 0


def test_a_site_is_active_when_one_class_is() -> None:
    quiet, busy = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([[0.1, 0.4, 0.5], [0.5, 0.0, 0.5]])
    means = torch.stack([quiet.expand(2, 3), busy], 1).repeat(100, 1, 1)
    assert int(active_units(means)) == 1


@pytest.mark.parametrize("arch", ["linear", "categorical"])
def test_training_reports_both(arch: str) -> None:
    task = MnistVae(arch=arch, batch=8, prior="trainable")
    first, last = train(task, estimator("reinmax", task.spec), SETTINGS, 0, lambda fraction: None)
    assert 0 <= last.metrics["active_units_test"].value <= task.spec.event_shape[0]
    assert first.images == {}
    rows = {row["metric"].removeprefix("images_"): row for row in Images().rows([first, last])}
    assert list(rows) == ["original", "reconstruction", "sample"] and list(Images().rows([])) == []
    for row in rows.values():
        assert row["value"] == 8 and len(row["blocks"]) == 8 * 784 and row["step"] == 2
        assert 0 <= min(row["blocks"]) <= max(row["blocks"]) <= 255 and row["blocks"] == list(map(round, row["blocks"]))
    assert set(rows["original"]["blocks"]) == {0, 255}, "binary images"
    assert last.images["reconstruction"].std() > 0.05, "the output's bias alone is the mean image"


def test_samples_come_from_the_trained_prior() -> None:
    vae = MnistVae(arch="linear", n=3, prior="trainable").model(0)
    assert vae.prior is not None
    with torch.no_grad():
        vae.prior.copy_(torch.tensor([40.0, -40.0, 0.0]))
    z = vae.sample_prior(4000, torch.Generator().manual_seed(0))
    assert z.shape == (4000, 3) and (z[:, 0] == 1).all() and (z[:, 1] == 0).all()
    assert abs(float(z[:, 2].mean()) - 0.5) < 4 * 0.5 / 4000**0.5
