"""VQ-VAEs on MNIST train, and what an evaluation says of their codes agrees with counts by hand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.collectors.training import Training
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.evaluation import minibatch_gradients
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.contract import Estimator, Unsupported
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.quantisers.vq_ema import VqEma
from dvae_bench.tasks.vae.mnist_vq import MnistVq
from tiny import TRAINING
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits
from torch.testing import assert_close

QUANTISERS = ("vq-st", "vq-ema", "vq-rotation", "vq-gumbel", "stochastic-vq", "fsq", "lfq")


def task(**values: Any) -> MnistVq:
    return MnistVq(**({"codes": 16, "width": 4, "batch": 16} | values))


def quantiser(task: MnistVq, name: str) -> Estimator:
    return build(name, task.layers[0])


def metrics_of(task: MnistVq, name: str, count: int = 30) -> tuple[dict[str, Tensor], Any, Tensor]:
    model, x = task.model(0), task.evaluation_images(task.test, count)
    return task.metrics(model, x, stream(0, "evaluation"), 0, quantiser(task, name).eval()), model, x


@pytest.mark.parametrize("arch", ("mlp", "conv"))
@pytest.mark.parametrize("name", (*QUANTISERS, "simvq"))
def test_a_step_moves_encoder_decoder_and_codebook(arch: str, name: str) -> None:
    with_book = task(arch=arch, codebook="linear-codebook" if name == "simvq" else "free")
    step = TrainStep(with_book, quantiser(with_book, name), seed=0)
    before = {key: tensor.clone() for key, tensor in step.vae.state_dict().items()}
    data = with_book.batches(stream(0, "data"))
    for _ in range(2):
        assert step(next(data)).isfinite().all()
    still = {key for key, tensor in step.vae.state_dict().items() if torch.equal(tensor, before[key])}
    assert not {key for key in still if key.startswith(("encoder", "decoder"))}
    own = {"codebook.map"} if name == "simvq" else {"codebook.vectors"}
    assert bool(own & still) == (name in ("fsq", "lfq"))


def test_training_lowers_the_loss() -> None:
    """By more than ten standard errors of the images' own differences, in 60 steps of the convolutional network."""
    conv = task(arch="conv")
    step, data = TrainStep(conv, quantiser(conv, "vq-ema"), seed=0), conv.batches(stream(0, "data"))
    x = conv.evaluation_images(conv.test, 50)

    def losses() -> Tensor:
        return conv.metrics(step.vae, x, stream(0, "evaluation"), 0, step.estimator.eval())["loss"]

    before = losses()
    step.estimator.train()
    for _ in range(60):
        step(next(data))
    fallen = before - losses()
    assert fallen.mean() > 10 * fallen.std() / len(fallen) ** 0.5


@pytest.mark.parametrize("likelihood", ("bernoulli", "l2"))
@pytest.mark.parametrize("name", QUANTISERS)
def test_perplexity_bits_and_dead_codes_are_counted_right(name: str, likelihood: str) -> None:
    vq = task(likelihood=likelihood)
    found, model, x = metrics_of(vq, name)
    e = model.encode(x).detach()
    z = quantiser(vq, name).quantise(model.latent(e)).detach()
    codes = {"fsq": 5**4, "lfq": 2**4}.get(name, 16)
    counts = np.array(list(Counter(tuple(site.tolist()) for row in z for site in row).values()))
    share = counts / counts.sum()
    assert_close(float(found["perplexity"]), float(np.exp(-(share * np.log(share)).sum())), rtol=1e-5, atol=0.0)
    assert found["dead_codes"] == codes - len(counts)
    assert_close(float(found["bits"]), 16 * math.log2(codes))
    assert_close(found["kl"], torch.full((30,), 16 * math.log(codes)))
    assert_close(found["distortion"], ((e - z) ** 2).sum((1, 2)))
    logits = model.decoder(z.flatten(1))
    if likelihood == "l2":
        assert "elbo" not in found
        expected = (logits.sigmoid() - x).square().sum(-1)
    else:
        expected = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        assert_close(found["elbo"], -(found["reconstruction"] + found["kl"]))
    assert_close(found["reconstruction"], expected)


@pytest.mark.parametrize("name", ("vq-st", "vq-rotation"))
def test_the_loss_of_an_evaluation_is_that_of_the_seed_document(name: str) -> None:
    """-log p(x given z) + (1 + β) distortion."""
    found, *_ = metrics_of(task(), name)
    assert_close(found["loss"], found["reconstruction"] + 1.25 * found["distortion"])


def test_an_evaluation_reports_codes_images_and_variance_over_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws nothing reports its variance over minibatches, none over draws; the loss's fall is per step."""
    vq = task()
    points = train(vq, quantiser(vq, "vq-ema"), TRAINING, 0, lambda fraction: None)
    rows = [row for row in Training().rows(points) if row["step"] == 6]
    value = {row["metric"]: row["value"] for row in rows}
    names = ("perplexity", "dead_codes", "distortion", "bits", "kl", "elbo", "reconstruction", "loss")
    assert {f"{name}_test" for name in names} <= value.keys()
    assert {kind: images.shape for kind, images in points[-1].images.items()} == {
        "original": (8, 784),
        "reconstruction": (8, 784),
    }
    original, shown = (torch.from_numpy(points[-1].images[kind]) for kind in ("original", "reconstruction"))
    distances = binary_cross_entropy(shown, original, reduction="none").sum(-1)
    assert_close(distances, torch.from_numpy(points[-1].metrics["reconstruction_test"][:8]), rtol=1e-3, atol=1e-3)
    assert value["var_minibatch"] > 0 and not {"var_cut", "var_encoder"} & value.keys()
    losses = [np.asarray(point.metrics["loss_train"], float).mean() for point in points]
    assert_close(value["loss_decrease"], float(losses[1] - losses[2]) / 2, rtol=1e-5, atol=1e-6)
    stochastic = train(vq, quantiser(vq, "stochastic-vq"), TRAINING, 0, lambda fraction: None)
    assert {"var_minibatch", "var_cut", "var_encoder"} <= stochastic[-1].metrics.keys()


def test_an_evaluation_moves_nothing() -> None:
    vq = task()
    step = TrainStep(vq, quantiser(vq, "vq-ema"), seed=0)
    before = {key: tensor.clone() for key, tensor in step.vae.state_dict().items()}
    images = vq.evaluation_images(vq.train, 48).split(16)
    step.estimator.eval()
    found = minibatch_gradients(step, images, stream(0, "evaluation"))
    assert all(torch.equal(tensor, before[key]) for key, tensor in step.vae.state_dict().items())
    latent = step.vae.latent(step.vae.encode(images[1]))
    loss = step.estimator(step.vae.objective(images[1], latent), latent).mean()
    expected = torch.autograd.grad(loss, list(step.vae.encoder.parameters()))
    assert_close(found[1], torch.cat([gradient.flatten() for gradient in expected]))


def test_k_means_starts_at_the_encodings() -> None:
    """Each code is the mean of some encodings, and the distortion is less than from random codes."""
    started, random = metrics_of(task(kmeans=10), "vq-st", 200), metrics_of(task(), "vq-st", 200)
    assert started[0]["distortion"].mean() < random[0]["distortion"].mean() / 2
    assert started[0]["perplexity"] > random[0]["perplexity"]
    with pytest.raises(UsageError, match="leave out codebook"):
        task(kmeans=1, codebook="linear-codebook")


def test_a_model_of_nan_is_refused_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    vq = task()
    broken = vq.model(0)
    with torch.no_grad():
        broken.codebook.vectors[0] = math.nan
    monkeypatch.setattr(vq, "model", lambda seed: broken)
    with pytest.raises(UsageError, match="NaN or infinity"):
        train(vq, quantiser(vq, "vq-ema"), TRAINING, 0, lambda fraction: None)


def test_only_quantisers_are_evaluated() -> None:
    class Nameless(Estimator):
        """No quantiser."""

        latents, name, cost, reference = ("encodings",), "nameless", "1 evaluation", "nobody"
        claim = VqEma.claim
        sample = gradient = None  # type: ignore[assignment]

    vq = task()
    with pytest.raises(Unsupported, match="derives from Quantiser"):
        vq.metrics(vq.model(0), vq.evaluation_images(vq.test, 2), stream(0, "e"), 0, Nameless(vq.layers[0]))
