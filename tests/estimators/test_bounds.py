"""Bounds: their exact expectation, and the mean and variance of each estimator, by enumerating every draw."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from dvae_bench.bench.advice.measure import measure
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws.draws import draw_gradients
from dvae_bench.bench.sources.settings import DrawSettings
from dvae_bench.bench.sources.timing.clock import CpuClock, Timeline
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator as build
from dvae_bench.estimators.bounds.bound import exact_loss, expected_bound, leave_one_out, log_mean_exp, replaced
from dvae_bench.estimators.contract import Estimate, Estimator, Unsupported
from dvae_bench.estimators.coupled.disarm import Disarm
from dvae_bench.estimators.latents import Bernoulli, Objective, expectation
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.score_function.reinforce import Reinforce
from dvae_bench.estimators.score_function.rloo import Rloo
from dvae_bench.tasks.toys.bit import Bit
from dvae_bench.tasks.toys.quadratic import Quadratic
from dvae_bench.tasks.toys.tables import BitTable, CategoryTable, FunctionTable
from dvae_bench.tasks.toys.two_layer import TwoLayer
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.tiny_vae import TinyVae
from torch import Tensor

BOUNDS = [plugin.name for plugin in ESTIMATORS if plugin.fact("bound")]
UNBIASED = [
    "multisample:n=1",
    "multisample:n=3",
    "vimco:n=2",
    "vimco:n=3",
    "vimco:n=3,mean=arithmetic",
    "local-disarm:n=1",
    "local-disarm:n=2",
    "local-disarm:n=2,symmetrized=yes",
    "ovis:n=2,gamma=0",
    "ovis:n=3,gamma=0",
    "tvo:n=2,points=1",
    "tvo:n=3,points=1",
]
ALPHA = 1e-6


@dataclass(frozen=True)
class Mean:
    """Expectations over every draw, and the variance of the logits gradient, summed over it."""

    groups: dict[str, Tensor]
    variance: Tensor


def bits() -> BitTable:
    return BitTable("cpu", torch.float64, d=2)


def categories() -> CategoryTable:
    return CategoryTable("cpu", torch.float64, n=1, k=3)


def pairs(p: Tensor) -> tuple[Tensor, Tensor]:
    """Every antithetic pair (b, b') of two bits, [9, 2, 2], and its chance: min(p, 1 - p) for (1, 0) and (0, 1)."""
    apart, both = p.minimum(1 - p), (p > 0.5).to(p)
    first_one = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).to(p)
    values, chances = torch.stack([both.expand(2, 2), first_one, first_one.flip(0)]), [1 - 2 * apart, apart, apart]
    i, j = torch.cartesian_prod(torch.arange(3), torch.arange(3)).T
    chance = torch.stack(chances)
    return torch.stack([values[i, :, 0], values[j, :, 1]], -1), chance[i, 0] * chance[j, 1]


def every_draw(estimator: Estimator, toy: FunctionTable) -> tuple[Tensor, Tensor]:
    """Every draw of n configurations [n, draws, *event], or of n antithetic pairs [2, n, draws, *event]; its chance."""
    latent = toy.latent(toy.params().detach())
    antithetic = estimator.name == "local-disarm"
    one, chance = pairs(latent.probs) if antithetic else (latent.support(), latent.log_prob(latent.support()).exp())
    index = torch.cartesian_prod(*[torch.arange(len(one))] * estimator.n).view(-1, estimator.n)  # type: ignore[operator]
    draws, chances = one[index.T], chance[index].prod(1)
    return (draws.movedim(2, 0) if antithetic else draws), chances


def mean(estimator: Estimator, toy: FunctionTable) -> Mean:
    draws, chance = every_draw(estimator, toy)
    assert float(chance.sum()) == pytest.approx(1, rel=1e-12)
    rows = toy.params().detach().expand(len(chance), *toy.params().shape).clone().requires_grad_()
    latent = toy.latent(rows)
    loss = estimator.gradient(toy.energy(latent), latent, draws).spliced(latent)
    cuts, _ = torch.autograd.grad(loss.sum(), [rows, toy.table], retain_graph=True)
    (decoder,) = torch.autograd.grad((chance * loss).sum(), toy.table)
    weight = chance.view(-1, *[1] * (cuts.dim() - 1))
    cut = (weight * cuts).sum(0)
    groups = {"value": (chance * loss.detach()).sum(), "cut": cut, "decoder": decoder.flatten()}
    return Mean(groups, (weight * (cuts - cut).square()).sum())


def on(toy: FunctionTable, text: str) -> Estimator:
    return build(text, toy.layers[0]).eval()


def cut_bias(text: str, toy: FunctionTable) -> float:
    estimator = on(toy, text)
    return float((mean(estimator, toy).groups["cut"] - toy.exact(estimator)["cut"]).norm())


def estimates(estimator: Estimator, f: Objective, params: Tensor, draw: Any) -> tuple[Tensor, Tensor]:
    """Value and gradient at these parameters and this draw."""
    leaf = params.detach().requires_grad_()
    latent = Bernoulli(leaf)
    loss = estimator.gradient(f, latent, draw).spliced(latent)
    return loss.detach(), torch.autograd.grad(loss.sum(), leaf)[0]


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_expected_bound_equals_the_sum_over_all_tuples(n: int, scale: float) -> None:
    """Value and both gradients, in two rows, with log weights up to 100 nats apart."""
    generator = torch.Generator().manual_seed(n)
    logits = torch.randn(2, 2, generator=generator, dtype=torch.float64).requires_grad_()
    table = (scale * torch.randn(4, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    latent = Bernoulli(logits)
    log_q = latent.log_prob(latent.support())
    log_w = -table - log_q
    tuples = [list(chosen) for chosen in itertools.product(range(4), repeat=n)]
    wanted = sum(log_q[chosen].sum(0).exp() * log_mean_exp(log_w[chosen]) for chosen in tuples)
    found = expected_bound(log_q, log_w, n)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)
    for one, other in zip(
        *(torch.autograd.grad(bound.sum(), [logits, table], retain_graph=True) for bound in (found, wanted)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_expected_bound_at_extreme_logits() -> None:
    """At ±50 one configuration has all of q: the bound is its log weight, and gradients are finite."""
    logits = torch.tensor([50.0, -50.0, 50.0], dtype=torch.float64, requires_grad=True)
    latent = Bernoulli(logits)
    log_q = latent.log_prob(latent.support())
    log_joint = torch.linspace(-400, 0, 8, dtype=torch.float64)
    bound = expected_bound(log_q, log_joint - log_q, 3)
    torch.testing.assert_close(bound, log_joint[5], rtol=1e-12, atol=0)
    assert torch.autograd.grad(bound, logits)[0].isfinite().all()


@pytest.mark.parametrize("toy", [bits, categories])
@pytest.mark.parametrize("text", UNBIASED)
def test_mean_over_every_draw_is_the_exact_gradient(text: str, toy: Callable[[], FunctionTable]) -> None:
    task = toy()
    try:
        estimator = on(task, text)
    except Unsupported as reason:
        pytest.skip(str(reason))
    assert estimator.claim().target == "bound" and estimator.claim().unbiased
    exact = task.exact(estimator)
    for group, expected in mean(estimator, task).groups.items():
        torch.testing.assert_close(expected, exact[group], rtol=0, atol=1e-12)


def test_replaced_and_leave_one_out_against_loops() -> None:
    """Also where one weight is 10^300 times the others, which a difference of sums would not survive."""
    generator = torch.Generator().manual_seed(0)
    log_w, other = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    log_w[1, 0] += 690
    alone = leave_one_out(log_w)
    for k in range(4):
        rest = torch.cat([log_w[:k], log_w[k + 1 :]])
        torch.testing.assert_close(alone[k], log_mean_exp(rest), rtol=1e-14, atol=1e-14)
        swapped = torch.cat([log_w[:k], other[k : k + 1], log_w[k + 1 :]])
        assert torch.equal(replaced(log_w, other)[:, k], swapped)


def test_one_sample_is_reinforce_on_the_negative_elbo() -> None:
    toy = bits()
    params, f = toy.params(), toy.energy(toy.latent(toy.params()))
    leaf = params.detach().expand(50, 2).clone().requires_grad_()
    latent = Bernoulli(leaf)
    draw = latent.sample(1, torch.Generator().manual_seed(0))
    bound = on(toy, "multisample:n=1").gradient(f, latent, draw).spliced(latent)
    plain = Reinforce(latent.spec).gradient(lambda z: f(z) + latent.log_prob(z), latent, draw).spliced(latent)
    torch.testing.assert_close(bound, plain)
    gradients = (torch.autograd.grad(loss.sum(), leaf, retain_graph=True)[0] for loss in (bound, plain))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("text", "plain", "pairs"),
    [("tvo:n=4,points=1", Rloo, False), ("local-disarm:n=1,symmetrized=yes", Disarm, True)],
)
def test_special_cases_are_estimators_of_the_elbo(text: str, plain: type[Estimator], pairs: bool) -> None:
    """TVO of one interval is RLOO, and symmetrized local DisARM of one pair DisARM, on f + log q."""
    toy = bits()
    f = toy.energy(toy.latent(toy.params()))
    leaf = toy.params().detach().expand(50, 2).clone().requires_grad_()
    latent, bound = Bernoulli(leaf), on(toy, text)
    draw = bound.sample(latent, torch.Generator().manual_seed(0))
    other = plain(latent.spec, n=4) if plain is Rloo else plain(latent.spec)
    losses = [
        bound.gradient(f, latent, draw).spliced(latent),
        other.gradient(lambda z: f(z) + latent.log_prob(z), latent, draw[:, 0] if pairs else draw).spliced(latent),
    ]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), leaf, retain_graph=True)[0] for loss in losses))


def test_both_means_of_one_other_weight_are_that_weight() -> None:
    toy = bits()
    f, draws = toy.energy(toy.latent(toy.params())), every_draw(on(toy, "vimco:n=2"), toy)[0]
    rows = toy.params().expand(16, 2)
    geometric, arithmetic = (
        estimates(on(toy, f"vimco:n=2,mean={name}"), f, rows, draws) for name in ("geometric", "arithmetic")
    )
    torch.testing.assert_close(geometric, arithmetic)


def test_vimco_baselines_by_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    log_w = 3 * torch.randn(4, 5, generator=generator, dtype=torch.float64)
    toy = bits()
    for name, average in (("geometric", lambda rest: rest.mean(0)), ("arithmetic", log_mean_exp)):
        found = on(toy, f"vimco:n=4,mean={name}").baseline(log_w)  # type: ignore[operator]
        for k in range(4):
            rest = torch.cat([log_w[:k], log_w[k + 1 :]])
            torch.testing.assert_close(found[k], log_mean_exp(torch.cat([rest, average(rest)[None]])))


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_the_bias_of_ovis_is_gamma_times_the_path_term(gamma: float) -> None:
    """-γ E Σ_k v_k ∇ log q(z_k), which is γ times the mean of wake-φ."""
    toy = bits()
    ovis = on(toy, f"ovis:n=3,gamma={gamma}")
    assert not ovis.claim().unbiased
    found = mean(ovis, toy).groups
    bias = found["cut"] - toy.exact(ovis)["cut"]
    torch.testing.assert_close(bias, gamma * mean(on(toy, "rws-wake:n=3"), toy).groups["cut"], rtol=0, atol=1e-12)
    assert float(bias.norm()) > 1e-2
    torch.testing.assert_close(found["decoder"], toy.exact(ovis)["decoder"], rtol=0, atol=1e-12)


def test_symmetrizing_never_adds_variance() -> None:
    """The mean of two estimates of the same distribution, on ten tables."""
    for seed in range(10):
        toy = bits()
        with torch.no_grad():
            toy.table.copy_(3 * torch.randn(2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
        one, two = (mean(on(toy, f"local-disarm:n=2,symmetrized={word}"), toy).variance for word in ("no", "yes"))
        assert two <= one * (1 + 1e-12)


class TestWake:
    def test_target_is_the_inclusive_divergence_for_q_and_the_bound_for_the_rest(self) -> None:
        toy = bits()
        latent = toy.latent(toy.params().detach())
        posterior = (-toy.energy(latent)(latent.support())).softmax(0).detach()
        exact = toy.exact(on(toy, "rws-wake:n=3"))
        torch.testing.assert_close(exact["cut"], -(posterior[:, None] * latent.score(latent.support())).sum(0))
        bound = toy.exact(on(toy, "multisample:n=3"))
        for group in ("value", "decoder"):
            torch.testing.assert_close(exact[group], bound[group], rtol=0, atol=1e-12)

    def test_value_and_decoder_are_unbiased_and_the_bias_at_the_cut_shrinks(self) -> None:
        toy = bits()
        wake = on(toy, "rws-wake:n=3")
        found, exact = mean(wake, toy).groups, toy.exact(wake)
        for group in ("value", "decoder"):
            torch.testing.assert_close(found[group], exact[group], rtol=0, atol=1e-12)
        biases = [cut_bias(f"rws-wake:n={n}", toy) for n in (1, 2, 3, 5)]
        assert biases == sorted(biases, reverse=True)
        assert biases[0] == pytest.approx(float(exact["cut"].norm())), "one weight is 1, and E ∇ log q = 0"


class TestTvo:
    def test_lies_between_the_elbo_and_the_likelihood_and_reaches_it(self) -> None:
        toy = bits()
        latent = toy.latent(toy.params().detach())
        f = toy.energy(latent)
        negative_elbo = expectation(lambda z: f(z) + latent.log_prob(z), latent)
        evidence = (-f(latent.support())).logsumexp(0)
        grids = ("points=1", "points=2", "points=2,beta=.3", "points=30,beta=.01", "points=3000,beta=.001")
        with torch.no_grad():
            losses = [float(on(toy, f"tvo:{grid}").target(f, latent)) for grid in grids]
        assert losses[0] == pytest.approx(float(negative_elbo.detach()), rel=1e-12)
        assert losses == sorted(losses, reverse=True)
        assert 0 < losses[-1] + float(evidence.detach()) < 2e-3

    def test_bias_shrinks_with_draws(self) -> None:
        toy = bits()
        biases = [cut_bias(f"tvo:n={n},points=3", toy) for n in (2, 3, 5)]
        assert biases == sorted(biases, reverse=True)

    def test_gradient_of_the_whole_support_is_the_targets(self) -> None:
        """Under uniform q, each configuration 5,000 times: exact but for n / (n - 1) on the covariance."""
        toy = BitTable("cpu", torch.float64, d=2)
        with torch.no_grad():
            toy.logits.zero_()
        tvo, latent = on(toy, "tvo:n=20000,points=4,beta=.1"), toy.latent(toy.params())
        f, wanted = toy.energy(latent), [toy.logits, toy.table]
        losses = [tvo.gradient(f, latent, latent.support().repeat(5000, 1)).spliced(latent), tvo.target(f, latent)]
        torch.testing.assert_close(*losses)
        for found, exact in zip(*(torch.autograd.grad(loss, wanted) for loss in losses), strict=True):
            torch.testing.assert_close(found, exact, rtol=0, atol=2e-4)


class TestTasks:
    @pytest.mark.parametrize("name", BOUNDS)
    def test_two_layers_are_unsupported(self, name: str) -> None:
        with pytest.raises(Unsupported, match="bound of one stochastic layer, but there are 2"):
            Layers(ESTIMATORS.find(name).load(), {}, TwoLayer(), torch.device("cpu"))

    def test_too_many_configurations_leave_the_moments(self) -> None:
        toy = Quadratic(d=20)
        layers = Layers(ESTIMATORS.find("vimco").load(), {}, toy, torch.device("cpu"))
        assert Bit(d=20).exact(layers.top) == {}
        draws = draw_gradients(layers, toy, DrawSettings(rows=8, elements=1e7), seed=0)
        assert draws.exact == {} and draws.moments.keys() == {"value", "cut"}

    def test_closed_form_toys_enumerate_bounds(self) -> None:
        """The bound of one draw is E_q f less the entropy of q."""
        toy = Bit("cpu", torch.float64, d=4)
        entropy = torch.distributions.Bernoulli(logits=toy.logits.detach()).entropy().sum()
        one = build("multisample:n=1", toy.layers[0])
        torch.testing.assert_close(toy.exact(one)["value"], toy.exact()["value"] - entropy, rtol=1e-12, atol=0)

    def test_measure_takes_f_for_the_energy(self) -> None:
        latent = Bernoulli(torch.tensor([0.3, -0.7], dtype=torch.float64))
        table = measure(lambda z: z.sum(-1).square(), latent, ["vimco", "rws-wake"], draws=6400)
        verdicts = table.frame().set_index("estimator")["verdict"]
        assert [verdicts[name].split()[0] for name in ("vimco", "rws-wake")] == ["unbiased", "biased"]

    def test_tiny_vae_bound_tightens_from_elbo_to_likelihood(self) -> None:
        toy = TinyVae("cpu", torch.float64)
        latent = toy.latent(toy.params())
        evidence = (-toy.energy(latent)(latent.support())).logsumexp(0).detach()
        with torch.no_grad():
            losses = [exact_loss(toy.energy(latent), latent, n) for n in (1, 2, 5, 50)]
        torch.testing.assert_close(losses[0], toy.exact()["value"], rtol=1e-12, atol=0)
        assert all((more < less).all() for less, more in itertools.pairwise(losses))
        assert (losses[-1] > -evidence).all()

    def test_tiny_vae_gradient_in_every_group(self, examine: Callable[..., Any]) -> None:
        findings = examine(ESTIMATORS.find("vimco").load(), "tiny-vae", rows=1000)
        assert findings.p.keys() == {"value", "cut", "encoder", "decoder"}
        assert min(findings.p.values()) >= ALPHA, findings.p
        assert findings.detectable["encoder"] < 0.25 and findings.detectable["decoder"] < 0.01

    def test_the_kl_option_is_not_the_bounds(self) -> None:
        first, second = (TinyVae(kl=kl).exact(build("vimco", TinyVae().layers[0])) for kl in ("analytic", "sampled"))
        assert all(torch.equal(first[group], second[group]) for group in first)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_training_step_descends_minus_the_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No KL beside it, and no q inside f; plainly and timed."""
    task = MnistVae(arch="linear", batch=4)
    x = next(task.batches(torch.Generator().manual_seed(0)))
    losses = []
    for timed in (False, True):
        step = TrainStep(task, build(name, task.spec), seed=0)
        latent = step.vae.latent(step.vae.encode(x))
        z = step.estimator.sample(latent, torch.Generator().manual_seed(1))
        monkeypatch.setattr(step.estimator, "sample", lambda latent, generator, z=z: z)
        expected = step.estimator.gradient(step.vae.objective(x, latent, bound=True), latent, z)
        losses.append(step(x, Timeline(CpuClock())) if timed else step(x))
        torch.testing.assert_close(losses[-1], expected.value.detach())
    if name == "vimco":
        fresh = task.model(0)
        log_w = fresh.log_weight(x, fresh.latent(fresh.encode(x)))(z)
        torch.testing.assert_close(losses[0], -log_mean_exp(log_w.detach()))


def test_bounds_say_so() -> None:
    assert set(BOUNDS) == {"multisample", "vimco", "local-disarm", "ovis", "rws-wake", "tvo"}
    for name in BOUNDS:
        estimator = on(bits(), name)
        assert estimator.bound and estimator.claim().target == "bound"
        assert isinstance(estimator.estimate(lambda z: z.sum(-1), Bernoulli(torch.zeros(2)), None), Estimate)


def infinite_above_three(z: Tensor) -> Tensor:
    """f = inf at the one configuration of 4 bits that is all ones."""
    return torch.where(z.sum(-1) > 3.5, torch.inf, z.sum(-1))


FEW = ["vimco:mean=arithmetic", "vimco:n=2", "vimco:n=2,mean=arithmetic", "ovis:n=2"]


@pytest.mark.parametrize("name", [*BOUNDS, *FEW])
def test_bounds_stay_finite_where_f_is_infinite_at_one_z(name: str) -> None:
    """Unless all draws of the bound are that z; the loss of tvo is infinite, since the ELBO is."""
    latent = Bernoulli(torch.zeros(4000, 4, dtype=torch.float64))
    estimator = build(name, latent.spec)
    draw = estimator.sample(latent, torch.Generator().manual_seed(0))
    infinite = (draw > 0).all(-1).view(-1, 4000)
    some = infinite.any(0) & ~infinite.all(0)
    latent = latent.at(latent.params[some].requires_grad_())
    loss = estimator.gradient(infinite_above_three, latent, draw[..., some, :]).spliced(latent)
    assert some.any() and (loss == torch.inf if name == "tvo" else loss.isfinite()).all()
    (g,) = torch.autograd.grad(loss.sum(), latent.params)
    assert name == "tvo" or g.isfinite().all()


def test_the_geometric_mean_of_the_other_weights_is_0_if_one_of_them_is() -> None:
    log_w = torch.tensor([[-1.0], [-torch.inf], [0.5]], dtype=torch.float64)
    w = log_w.exp().flatten().tolist()
    others = [0.0, (w[0] * w[2]) ** 0.5, 0.0]
    expected = torch.tensor([[(sum(w) - w[k] + others[k]) / 3] for k in range(3)], dtype=torch.float64).log()
    torch.testing.assert_close(build("vimco:n=3", Bernoulli(torch.zeros(1)).spec).baseline(log_w), expected)


@pytest.mark.parametrize("name", BOUNDS)
def test_the_exact_bound_of_an_infinite_f_is_infinite(name: str) -> None:
    latent = Bernoulli(torch.zeros(2, 4, dtype=torch.float64))
    target = build(name, latent.spec).target
    assert (target(infinite_above_three, latent) == torch.inf).all()
    assert target(lambda z: z.sum(-1), latent).isfinite().all()
