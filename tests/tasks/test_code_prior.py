"""Priors over codes: their sum over every sequence, what each code may depend on, and what a training makes of them."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dvae_bench.bench.collectors.training import Training
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.timing import timed_steps
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.sources.training.trajectory import Trajectory
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.contract import Estimator, Unsupported
from dvae_bench.estimators.latents import Encodings
from dvae_bench.estimators.quantisers.quantiser import Quantiser
from dvae_bench.tasks.vae.causal_networks import CausalConvolutions, CausalGru, MaskedConvolution
from dvae_bench.tasks.vae.code_prior import Autoregressive, CodePrior, Unigram, convolutional, recurrent
from dvae_bench.tasks.vae.mnist_vq import MnistVq
from scipy.stats import chi2
from tiny import TRAINING
from torch import Tensor, nn
from torch.nn.functional import one_hot

CODES, SIDE, SITES = 3, 2, 4
ALPHA, DRAWS = 1e-6, 2000
EVERY = torch.tensor(list(itertools.product(range(CODES), repeat=SITES)))


def counted() -> Unigram:
    unigram = Unigram(CODES)
    unigram.learn(torch.tensor([[0, 2, 2, 2], [2, 0, 0, 2]]))
    return unigram


class SeesItself(CausalConvolutions):
    """The first mask lets a code through to its own site."""

    def __init__(self, side: int, channels: int, layers: int) -> None:
        super().__init__(side, channels, layers)
        self.first = MaskedConvolution(channels, 2 * side - 1, own=True)


class Blind(CausalConvolutions):
    """A narrow first kernel: codes above and far to the right are never seen."""

    def __init__(self, side: int, channels: int, layers: int) -> None:
        super().__init__(side, channels, layers)
        self.first = MaskedConvolution(channels, 3, own=False)


class NotLate(CausalGru):
    """A GRU that reads a code before it predicts it."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.gru(inputs)[0]


class Peeking(CodePrior):
    """Predicts every code from itself."""

    def logits(self, codes: Tensor) -> Tensor:
        return 9.0 * one_hot(codes, CODES)

    def learn(self, codes: Tensor, optimizer: Any) -> None:
        raise AssertionError


class AllAtOnce(Autoregressive):
    """Draws every code as if those before it were 0."""

    def sample(self, n: int, sites: int, generator: torch.Generator) -> Tensor:
        p = self.logits(torch.zeros(1, sites, dtype=torch.long))[0].softmax(-1)
        return torch.multinomial(p, n, replacement=True, generator=generator).T


PRIORS: dict[str, Callable[[], CodePrior]] = {
    "unigram": counted,
    "convolutions": lambda: convolutional(CODES, SIDE),
    "gru": lambda: recurrent(CODES),
}


def wrong(network: nn.Module) -> Autoregressive:
    return Autoregressive(network, 8, CODES)


def total(prior: CodePrior) -> Tensor:
    return prior.double().log_prob(EVERY).exp().sum()


@pytest.mark.parametrize("prior", PRIORS)
def test_probabilities_sum_to_one(prior: str) -> None:
    assert_one(total(PRIORS[prior]()))


def assert_one(probability: Tensor) -> None:
    torch.testing.assert_close(probability, torch.ones_like(probability))


@pytest.mark.parametrize("network", [lambda: SeesItself(SIDE, 8, 1), lambda: NotLate(8)], ids=["own mask", "not late"])
def test_a_network_that_sees_the_code_it_predicts_has_no_sum_of_one(network: Callable[[], nn.Module]) -> None:
    with pytest.raises(AssertionError):
        assert_one(total(wrong(network())))


def reach(network: nn.Module, sites: int) -> Tensor:
    """Whether the Jacobian of output i in input j is not 0, [sites, sites]."""
    inputs = torch.randn(1, sites, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    jacobian: Any = torch.func.jacrev(network.double())(inputs)
    return jacobian.abs().sum((0, 2, 3, 5)) > 0


@pytest.mark.parametrize(
    ("network", "sites", "right"),
    [
        (lambda: CausalConvolutions(4, 8, 2), 16, True),
        (lambda: CausalGru(8), 16, True),
        (lambda: SeesItself(4, 8, 2), 16, False),
        (lambda: Blind(4, 8, 2), 16, False),
        (lambda: NotLate(8), 16, False),
    ],
    ids=["convolutions", "gru", "own mask", "blind spot", "not late"],
)
def test_each_site_depends_on_all_sites_before_it_and_on_no_other(
    network: Callable[[], nn.Module], sites: int, right: bool
) -> None:
    before = torch.ones(sites, sites).tril(-1) > 0
    assert torch.equal(reach(network(), sites), before) == right


def test_a_unigram_is_no_shorter_than_the_entropy_of_the_codes_it_counted() -> None:
    """Its cross-entropy exceeds the entropy by the divergence of the smoothed shares from the shares themselves."""
    codes = torch.tensor([0, 0, 0, 1, 2])[torch.randint(5, (50, SITES), generator=torch.Generator().manual_seed(0))]
    unigram = Unigram(CODES)
    for part in codes.split(10):
        unigram.learn(part)
    counts = torch.bincount(codes.flatten(), minlength=CODES)
    share, smoothed = counts.double() / counts.sum(), (1 + counts.double()) / (CODES + counts.sum())
    entropy, divergence = torch.special.entr(share).sum(), (share * (share / smoothed).log()).sum()

    def per_code(prior: CodePrior) -> Tensor:
        return -prior.log_prob(codes).double().mean() / SITES

    assert 0 < divergence < per_code(unigram)
    torch.testing.assert_close(per_code(unigram), entropy + divergence, rtol=1e-6, atol=0.0)
    assert per_code(unigram) >= entropy > per_code(Peeking())


def misfit(prior: CodePrior) -> float:
    """The χ² statistic of DRAWS sequences against their enumerated probabilities."""
    with torch.no_grad():
        expected = DRAWS * prior.log_prob(EVERY).double().exp()
    drawn = prior.sample(DRAWS, SITES, torch.Generator().manual_seed(1))
    number = (drawn * CODES ** torch.arange(SITES).flip(0)).sum(-1)
    found = torch.bincount(number, minlength=len(EVERY))
    return float(((found - expected).square() / expected).sum())


def dependent(prior: Autoregressive) -> Autoregressive:
    """The same with embeddings large enough that the codes depend on each other."""
    with torch.no_grad():
        prior.embedding.weight.mul_(3)
    return prior


def test_ancestral_draws_have_the_probabilities_of_the_prior() -> None:
    """A right one fails once in a million."""
    limit = float(chi2.isf(ALPHA, len(EVERY) - 1))
    assert misfit(counted()) < limit
    assert misfit(dependent(convolutional(CODES, SIDE))) < limit
    assert misfit(dependent(recurrent(CODES))) < limit
    assert misfit(dependent(AllAtOnce(CausalGru(8), 8, CODES))) > limit


def task(**values: Any) -> MnistVq:
    return MnistVq(**({"codes": 16, "width": 4, "batch": 16, "prior": "autoregressive"} | values))


def of(task: MnistVq, name: str = "vq-ema") -> Estimator:
    return build(name, task.layers[0])


@pytest.mark.parametrize("arch", ("mlp", "conv"))
@pytest.mark.parametrize("prior", ("unigram", "autoregressive"))
def test_a_prior_learns_the_codes_and_leaves_the_model_alone(arch: str, prior: str) -> None:
    """-log p(codes) of new images falls by five standard errors and more; the same seed gives the same bits."""
    vq = task(arch=arch, prior=prior)
    quantiser, model = of(vq), vq.model(0)
    before = copy.deepcopy(model.state_dict())
    x = vq.evaluation_images(vq.test, 50)

    def trained(steps: int) -> Tensor:
        assert len(list(vq.finish(model, quantiser, steps, stream(0, "prior")) or ())) == steps
        return vq.metrics(model, x, stream(0, "evaluation"), 0, quantiser)["kl"]

    fallen = trained(0) - trained(20)
    assert fallen.mean() > 5 * fallen.std() / len(fallen) ** 0.5
    assert torch.equal(trained(2), trained(2))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("prior", "lost"),
    [("unigram", ""), ("autoregressive", ""), ("unigram", "data"), ("autoregressive", "optimizer")],
)
def test_a_training_killed_among_the_steps_of_its_prior_goes_on_there_to_the_same_bits(
    prior: str, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the fourth of six minibatches, it goes on there; without a part of its state it ends elsewhere."""
    vq, learned = task(prior=prior), [0]
    cls = Unigram if prior == "unigram" else Autoregressive
    learn = cls.learn

    def trained(checkpoint: Checkpoint) -> Any:
        return train(vq, of(vq), TRAINING, 0, lambda fraction: None, checkpoint)[-1].metrics["kl_test"]

    def killed_once(self: Any, codes: Tensor, optimizer: Any) -> None:
        learned[0] += 1
        if learned[0] == 4:
            raise KeyboardInterrupt
        learn(self, codes, optimizer)

    quiet, checkpoint = trained(Checkpoint()), Checkpoint(tmp_path / "a.safetensors")
    monkeypatch.setattr(Checkpoint, "every", 0.0)
    monkeypatch.setattr(cls, "learn", killed_once)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint)
    state = checkpoint.load()
    assert state is not None
    if lost:
        fresh = vq.finish(vq.model(0), of(vq), 6, stream(0, "prior"))
        assert fresh is not None
        state["run"]["finishing"][lost] = fresh.state_dict()[lost]
        checkpoint.save(state)
    monkeypatch.setattr(TrainStep, "__call__", None)  # no step of the model is left
    assert (trained(checkpoint) == quiet).all() == (not lost)
    assert learned[0] == 4 + 3


def test_the_last_evaluation_has_the_elbo_and_samples_of_the_trained_prior() -> None:
    vq = task()
    points = train(vq, of(vq), TRAINING, 0, lambda fraction: None)
    early, last = points[0].metrics, points[-1].metrics
    assert not {"elbo_test", "kl_test", "bits_per_dim_test"} & early.keys() and "loss_test" in early
    elbo = last["elbo_test"]
    torch.testing.assert_close(torch.from_numpy(-elbo), torch.from_numpy(last["reconstruction_test"] + last["kl_test"]))
    rows = {row["metric"]: row for row in Training().rows(points) if row["step"] == 6}
    bits = rows["bits_per_dim_test"]
    assert (bits["unit"], bits["direction"]) == ("bits", "lower")
    assert bits["value"] == pytest.approx(-elbo.mean() / (784 * math.log(2)), rel=1e-5)
    assert points[-1].images["sample"].shape == (8, 784)
    uniform = task(prior="uniform")
    point = train(uniform, of(uniform), TRAINING, 0, lambda fraction: None)[-1]
    assert (point.metrics["bits_per_dim_test"] * -784 * math.log(2)).mean() == pytest.approx(
        point.metrics["elbo_test"].mean(), rel=1e-5
    )
    assert "sample" not in point.images
    same = {name for name in last if name.startswith(("reconstruction", "loss", "distortion", "var"))}
    assert all(str(point.metrics[name]) == str(last[name]) for name in same)


class OwnCodes(Quantiser):
    """Numbers the codes of the codebook, and decodes others."""

    latents, name, cost, reference = ("encodings",), "own-codes", "1 evaluation", "nobody"
    sample = gradient = None  # type: ignore[assignment]

    def quantise(self, latent: Encodings) -> Tensor:
        return latent.params.sign()


def test_an_rbm_of_codes_is_unsupported_with_the_reason() -> None:
    with pytest.raises(Unsupported, match="an RBM is a distribution over bits, and codes are none; take prior=auto"):
        task(prior="rbm")


def test_codes_that_a_prior_cannot_number_are_refused_before_the_first_step() -> None:
    wide = task(width=8)
    with pytest.raises(Unsupported, match="at most 4096 codes per site, and fsq has 390625 here; give fewer codes"):
        train(wide, of(wide, "fsq"), TRAINING, 0, lambda fraction: None)
    with pytest.raises(Unsupported, match="at most 4096"):
        timed_steps(wide, of(wide, "fsq"), 0)
    vq = task()
    with pytest.raises(Unsupported, match="own-codes do not give its quantise"):
        Trajectory(vq, OwnCodes(vq.layers[0]), 1, 0).validate()
    uniform = task(width=8, prior="uniform")
    Trajectory(uniform, of(uniform, "fsq"), 1, 0).validate()
