"""Explaining digits by k pixels: what the decoder sees, what is trained, and what happens without labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators import estimator
from dvae_bench.estimators.names import Unsupported
from dvae_bench.tasks.vae import explainer, mnist_explain
from dvae_bench.tasks.vae.datasets import look_in
from dvae_bench.tasks.vae.mnist_explain import MnistExplain
from dvae_bench.tasks.vae.model import mlp
from tiny import grid
from torch import nn
from torch.nn.functional import cross_entropy


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Callable[[], nn.Module]:
    """A classifier without labels: a fixed random network."""

    def classifier() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return mlp(784, 10)

    monkeypatch.setattr(mnist_explain, "classifier", classifier)
    return classifier


def test_f_is_the_cross_entropy_of_what_the_decoder_sees(untrained: Callable[[], nn.Module]) -> None:
    """Pixels that are not chosen change the classifier's answer, and nothing else."""
    task = MnistExplain(k=5)
    model, x = task.model(0), task.evaluation_images(task.test, 4)
    latent = model.latent(model.encode(x))
    z = latent.sample(3, stream(0, "z"))
    value = model.objective(x, latent)(z)
    answer = untrained()(x).softmax(-1)
    for draw, found in zip(z, value, strict=True):
        torch.testing.assert_close(found, cross_entropy(model.decoder(draw * x), answer, reduction="none"))
    hidden = x * z[0]
    torch.testing.assert_close(model.decoder(z[0] * hidden), model.decoder(z[0] * x))
    assert not torch.allclose(untrained()(hidden), untrained()(x))
    found = task.metrics(model, x, stream(0, "evaluation"))
    assert set(found) == {"loss", "agreement"} and all(each.shape == (4,) for each in found.values())


@pytest.mark.parametrize("name", ["simple", "sfess", "aimle"])
def test_a_step_trains_encoder_and_decoder_and_leaves_the_classifier(
    untrained: Callable[[], nn.Module], name: str
) -> None:
    task = MnistExplain(k=5, batch=8)
    step = TrainStep(task, estimator(name, *task.layers), seed=0)
    before = {key: tensor.clone() for key, tensor in step.vae.state_dict().items()}
    data = task.batches(stream(0, "data"))
    for _ in range(2):
        assert step(next(data)).isfinite().all()
    still = {key for key, tensor in step.vae.state_dict().items() if torch.equal(tensor, before[key])}
    assert still == {key for key in before if key.startswith("classifier")}


def test_the_loop_trains_and_times_it(untrained: Callable[[], nn.Module], store: Store) -> None:
    """A frozen part of a model has no gradient to be timed."""
    cells = grid("simple", "conditional-expectation", tasks="mnist-explain:k=5,batch=8", sources="steps clock")
    run_cells(cells, store, Progress())
    rows = store.rows()
    status = rows.groupby(["estimator", "source"])["status"].agg(lambda found: found.mode()[0])
    assert status.loc["straight-through"].tolist() == ["ok", "ok"]
    assert set(status.loc["conditional-expectation"]) == {"unsupported"}
    assert {"loss_test", "agreement_test", "bias_reference"} <= set(rows["metric"])


def test_without_labels_it_is_unsupported_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer.classifier.cache_clear()
    look_in("embedded")
    try:
        with pytest.raises(Unsupported, match=r"labels: put train-labels-idx1-ubyte.gz beside the images.*set DVAE"):
            MnistExplain().model(0)
    finally:
        look_in(None)
