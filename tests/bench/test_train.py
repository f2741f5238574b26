"""`train`: the training of a run, from Python, with a callback at each evaluation."""

from __future__ import annotations

import pytest
from dvae_bench import Estimate, LatentSpec, Unsupported, UsageError, estimator, train
from dvae_bench.bench.collectors.training import Training
from dvae_bench.bench.sources.settings import TrainSettings
from dvae_bench.bench.sources.training import loop
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.mnist_vae import MnistVae

VAE = "mnist-vae:arch=linear,batch=8"
SMALL = TrainSettings(steps=4, seconds=1e9, evaluations=2, images=20, iw_images=8, iw_samples=4, variance_draws=4)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations on few images."""

    def small(**given: float) -> TrainSettings:
        return TrainSettings(**(vars(SMALL) | given))  # type: ignore[arg-type]

    monkeypatch.setattr("dvae_bench.bench.train.TrainSettings", small)


def test_it_gives_the_numbers_of_a_run() -> None:
    seen: list[dict[str, float]] = []
    curve = train("rloo:n=4", VAE, steps=4, evaluations=2, seed=1, on_point=seen.append)
    task = MnistVae(arch="linear", batch=8)
    points = loop.train(task, estimator("rloo:n=4", *task.layers), SMALL, 1, lambda fraction: None)
    rows = {(row["step"], row["metric"]): row["value"] for row in Training().rows(points)}
    assert curve["step"].tolist() == [2, 4] and curve["evaluations"].tolist() == [8, 16]
    for metric in ("elbo_test", "elbo_train", "kl_test", "var_encoder"):
        assert curve[metric].tolist() == [rows[step, metric] for step in (2, 4)]
    assert [each["elbo_test"] for each in seen] == curve["elbo_test"].tolist()
    assert curve["seconds"].is_monotonic_increasing and curve["iw_test"].notna().tolist() == [False, True]


def test_the_callback_comes_at_each_evaluation_and_not_at_the_end() -> None:
    class Enough(Exception):
        pass

    def first(numbers: dict[str, float]) -> None:
        raise Enough(numbers["step"])

    with pytest.raises(Enough, match="2"):
        train("rloo", VAE, steps=4, evaluations=2, on_point=first)


def test_a_name_a_class_and_an_estimator_train_the_same() -> None:
    spec = LatentSpec.bernoulli(200)
    asked = ["reinforce", ESTIMATORS.find("reinforce").load(), estimator("reinforce", spec)]
    ends = [train(each, VAE, steps=2, evaluations=1)["elbo_test"].item() for each in asked]
    assert ends[0] == ends[1] == ends[2]


def test_a_layered_task_trains_with_an_estimator_per_layer() -> None:
    curve = train("rloo", "mnist-vae:arch=two-layer-linear,batch=4", steps=1, evaluations=1)
    assert len(curve) == 1


def test_a_divergence_keeps_the_lines_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    cls, calls = ESTIMATORS.find("reinforce").load(), []
    whole = cls(LatentSpec.bernoulli(200))
    plain = whole.gradient

    def later_infinite(f: object, latent: object, draw: object) -> Estimate:
        calls.append(None)
        given = plain(f, latent, draw)
        return Estimate(given.value * float("inf"), given.grad) if len(calls) > 30 else given

    monkeypatch.setattr(whole, "gradient", later_infinite)
    with pytest.warns(UserWarning, match=r"by step \d+, the loss was not finite: the training ended there"):
        curve = train(whole, VAE, steps=60, evaluations=60)
    assert 0 < len(curve) < 60


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(
        UsageError, match="'bit-table' is not trained; choose one of mnist-explain, mnist-half, mnist-vae, mnist-vq"
    ):
        train("rloo", "bit-table")
    with pytest.raises(UsageError, match="at least one step per evaluation, not steps=2, evaluations=5"):
        train("rloo", VAE, steps=2)
    with pytest.raises(UsageError, match=r"was made for .*, but the latents of this task are"):
        train(estimator("rloo", LatentSpec.bernoulli(3)), VAE)
    with pytest.raises(UsageError, match="train takes a name, an Estimator class or an estimator, not 3"):
        train(3, VAE)  # type: ignore[arg-type]
    with pytest.raises(Unsupported):
        train("disarm", "mnist-vae:arch=categorical")
