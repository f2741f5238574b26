"""Sequences of tokens and the policy gradients on them, by enumeration of all draws of all random tables tried here.

The identities hold for every instance, to rounding; the sizes of biases are those of an instance, and are reported.
"""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dvae_bench import Claim, LatentSpec, Policy, Unsupported, UsageError, estimator, measure
from dvae_bench.bench.check.bias import judge, unbiased
from dvae_bench.bench.check.case import Case, Failed
from dvae_bench.estimators.contract import Estimate, Estimator
from dvae_bench.estimators.latents import Latent, Objective, Sequence, expectation, latent_at
from dvae_bench.estimators.latents.sequence import numbered
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.score_function.group_mean import GroupMean
from dvae_bench.estimators.score_function.grpo import Grpo
from dvae_bench.estimators.score_function.kl_in_loss import KlInLoss
from dvae_bench.estimators.score_function.rloo import Rloo
from torch import Tensor

SIZES = ((3, 3), (2, 4), (3, 2), (1, 3))
INSTANCES = [(size, seed) for size in SIZES for seed in (0, 1)]
every_instance = pytest.mark.parametrize(("size", "seed"), INSTANCES)
ALPHA = 1e-6


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(size: tuple[int, int], seed: int, beta: float = 1.0) -> tuple[Sequence, Objective]:
    """A policy with a reference and a stale policy, and f, a random table over all sequences."""
    spec = LatentSpec.sequence(*size)
    tables = [normal(*spec.param_shape, seed=10 * seed + each) for each in range(3)]
    table = normal(spec.configurations, seed=10 * seed + 3)
    return Sequence(tables[0].requires_grad_(), tables[1], tables[2], beta), lambda z: table[numbered(z)[..., -1]]


def no_reward(z: Tensor) -> Tensor:
    return z.flatten(-2).sum(-1) * 0


def mean_gradient(name: str, latent: Sequence, f: Objective, drawn_from: Sequence | None = None) -> Tensor:
    """E g by enumeration of all n draws of the estimator at once, [*param_shape]."""
    method = estimator(name, latent.spec).to(torch.float64).eval()
    return mean_of(method, latent, f, drawn_from or latent)


def mean_of(method: Estimator, latent: Sequence, f: Objective, drawn_from: Sequence) -> Tensor:
    support = latent.support()
    index = torch.tensor(list(itertools.product(range(len(support)), repeat=method.n))).T
    probability = drawn_from.log_prob(support).detach().exp()[index].prod(0)
    leaf = latent.params.detach().expand(index.shape[1], *latent.params.shape).clone().requires_grad_()
    at = latent.at(leaf)
    loss = method.gradient(f, at, support[index]).spliced(at)
    return (probability[:, None, None] * torch.autograd.grad(loss.sum(), leaf)[0]).sum(0)


def gradient_of(value: Tensor, latent: Sequence) -> Tensor:
    return torch.autograd.grad(value, latent.params, allow_unused=True, materialize_grads=True)[0]


def reverse_kl(latent: Sequence) -> Tensor:
    """KL(reference || q)."""
    z = latent.support()
    log_p = latent.prior_log_prob(z)
    return (log_p.exp() * (log_p - latent.log_prob(z))).sum(0)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


# The latent


@every_instance
def test_its_distribution_is_that_of_its_draws(size: tuple[int, int], seed: int) -> None:
    latent, _ = made(size, seed)
    z = latent.support()
    q = latent.log_prob(z).exp()
    close(q.sum(), torch.ones((), dtype=torch.float64))
    close(latent.mean, (q[:, None, None] * z).sum(0))
    drawn = numbered(latent.sample(20_000, torch.Generator().manual_seed(seed)))[..., -1]
    counts = torch.bincount(drawn, minlength=len(z)).double()
    error = (counts / 20_000 - q.detach()) / (q * (1 - q) / 20_000).detach().sqrt()
    assert error.abs().max() < 4.9, "a false alarm of 1e-6 for each sequence"
    assert (counts / 20_000 - q.roll(1).detach()).abs().max() > 0.02, "another order of the sequences would be seen"


@every_instance
def test_its_score_is_the_gradient_of_log_q(size: tuple[int, int], seed: int) -> None:
    latent, _ = made(size, seed)
    z = latent.support()
    for each, score in zip(z, latent.score(z), strict=True):
        close(score, gradient_of(latent.log_prob(each.unsqueeze(0)).sum(), latent))


@every_instance
def test_sequences_are_numbered_as_their_configurations(size: tuple[int, int], seed: int) -> None:
    latent, _ = made(size, seed)
    assert torch.equal(numbered(latent.support())[..., -1], torch.arange(latent.spec.configurations))
    assert torch.equal(latent.configurations(1, 3), latent.support()[1:3])


def test_what_stands_after_the_end_counts_nothing() -> None:
    latent, _ = made((3, 3), 0)
    ended = torch.zeros(1, 3, 3, dtype=torch.float64)
    ended[0, 0, 1] = ended[0, 1, 2] = 1
    assert latent.mask(ended).tolist() == [[1, 1, 0]]
    assert latent.log_probs(ended)[0, 2] == 0 == latent.prior_log_probs(ended)[0, 2]
    assert bool((latent.score(ended)[0].abs().sum(-1) > 0).tolist() == [True, False, True, False, False, False, False])


def test_greedy_decoding_takes_the_most_likely_token() -> None:
    params = torch.zeros(7, 3)
    params[0, 1] = params[2, 0] = params[5, 2] = 1.0
    assert numbered(Sequence(params).greedy)[0].tolist() == [0, 2, 5, 5]


@pytest.mark.parametrize("mean", [True, False])
def test_its_weighted_score_is_that_of_every_latent_but_at_log_q(mean: bool) -> None:
    latent, f = made((3, 3), 0)
    z = latent.sample(5, torch.Generator().manual_seed(0))
    wanted, at_params = Latent.weighted_score(latent, z, f(z), mean=mean)
    for weight in (f(z), f(z).unsqueeze(-1).expand(5, 3)):
        grad, at = latent.weighted_score(z, weight, mean=mean)
        assert at_params is None and at is not None
        (found,) = torch.autograd.grad(at, latent.params, grad)
        close(found, wanted)


# The identities


@every_instance
@pytest.mark.parametrize("name", ["reinforce", "rloo", "remax", "reinforce-ema"])
def test_score_function_estimators_are_exact_on_sequences(name: str, size: tuple[int, int], seed: int) -> None:
    latent, f = made(size, seed)
    close(mean_gradient(name, latent, f), gradient_of(expectation(f, latent), latent))


@every_instance
@pytest.mark.parametrize("n", [2, 3])
def test_the_group_mean_takes_its_share(n: int, size: tuple[int, int], seed: int) -> None:
    latent, f = made(size, seed)
    exact = gradient_of(expectation(f, latent), latent)
    if latent.spec.configurations**n < 4000:
        close(mean_gradient(f"group-mean:n={n}", latent, f), (n - 1) / n * exact)
        close(mean_gradient(f"dr-grpo:n={n}", latent, f), (n - 1) / n / size[0] * exact)


@every_instance
@pytest.mark.parametrize("per", ["token", "sequence"])
def test_k1_in_the_loss_is_no_penalty(per: str, size: tuple[int, int], seed: int) -> None:
    latent, _ = made(size, seed)
    found = mean_gradient(f"kl-in-loss:k=k1,per={per}", latent, no_reward)
    close(found, torch.zeros_like(found))
    assert gradient_of(latent.kl_to_prior(), latent).norm() > 0.05


@every_instance
@pytest.mark.parametrize(
    "name",
    [
        "kl-in-loss:k=k2,per=sequence",
        "kl-in-reward:k=k1",
        "kl-in-reward:k=k1,per=sequence",
        "kl-in-reward:k=k1,credit=to-go",
    ],
)
def test_what_gives_the_gradient_of_the_kl(name: str, size: tuple[int, int], seed: int) -> None:
    latent, _ = made(size, seed)
    close(mean_gradient(name, latent, no_reward), gradient_of(latent.kl_to_prior(), latent))


@every_instance
def test_k3_of_the_sequence(size: tuple[int, int], seed: int) -> None:
    """In the loss it gives the gradient of the reverse KL, in the reward the difference of the two."""
    latent, _ = made(size, seed)
    kl, reverse = gradient_of(latent.kl_to_prior(), latent), gradient_of(reverse_kl(latent), latent)
    close(mean_gradient("kl-in-loss:k=k3,per=sequence", latent, no_reward), reverse)
    close(mean_gradient("kl-in-reward:k=k3,per=sequence", latent, no_reward), kl - reverse)


@every_instance
def test_k2_of_the_sequence_in_the_reward(size: tuple[int, int], seed: int) -> None:
    """It misses the gradient of its own mean by that of the KL."""
    latent, _ = made(size, seed)
    z = latent.support()
    of_k2 = (latent.log_prob(z).exp() * (latent.log_prob(z) - latent.prior_log_prob(z)).square() / 2).sum()
    found = mean_gradient("kl-in-reward:k=k2,per=sequence", latent, no_reward)
    close(found, gradient_of(of_k2, latent) - gradient_of(latent.kl_to_prior(), latent))


@every_instance
def test_k2_per_token_credits_the_own_token_alone(size: tuple[int, int], seed: int) -> None:
    """It is the gradient of every prefix's own KL, with how often each prefix is reached held fixed."""
    latent, _ = made(size, seed)
    assert latent.reference is not None
    z = latent.support()
    passes = torch.zeros(len(z), latent.spec.param_shape[0], dtype=torch.float64)
    passes.scatter_add_(1, numbered(z)[:, :-1], latent.mask(z))
    reached = (latent.log_prob(z).exp().unsqueeze(-1) * passes).sum(0).detach()
    log_q, log_p = latent.params.log_softmax(-1), latent.reference.log_softmax(-1)
    of_prefixes = (reached * (log_q.exp() * (log_q - log_p)).sum(-1)).sum()
    close(mean_gradient("kl-in-loss:k=k2,per=token", latent, no_reward), gradient_of(of_prefixes, latent))


@every_instance
def test_importance_ratios_of_the_sequence_are_exact(size: tuple[int, int], seed: int) -> None:
    latent, f = made(size, seed)
    exact = gradient_of(expectation(f, latent), latent)
    close(mean_gradient("importance", latent, f, drawn_from=latent.behaviour), exact)


# The formulas, at given draws


def at_draws(name: str, latent: Sequence, f: Objective, z: Tensor) -> Tensor:
    method = estimator(name, latent.spec).to(torch.float64).eval()
    return gradient_of(method.gradient(f, latent, z).spliced(latent).sum(), latent)


@pytest.mark.parametrize("name", ["importance:n=3", "importance:per=token,n=3", "ppo-clip:n=3"])
def test_at_fresh_samples_ratios_are_one(name: str) -> None:
    latent, f = made((3, 3), 0)
    fresh = Sequence(latent.params)
    z = fresh.sample(3, torch.Generator().manual_seed(1))
    close(at_draws(name, fresh, f, z), at_draws("rloo:n=3", fresh, f, z))


@pytest.mark.parametrize("seed", range(4))
def test_ppo_is_the_gradient_of_its_clipped_surrogate(seed: int) -> None:
    latent, f = made((3, 3), seed)
    z = latent.behaviour.sample(5, torch.Generator().manual_seed(seed))
    others = torch.stack([f(torch.cat([z[:k], z[k + 1 :]])).mean() for k in range(5)])
    advantage = (f(z) - others).unsqueeze(-1)
    ratio = (latent.log_probs(z) - latent.behaviour.log_probs(z).detach()).exp()
    surrogate = torch.maximum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage) * latent.mask(z)
    close(at_draws("ppo-clip:n=5", latent, f, z), gradient_of(surrogate.sum(-1).mean(), latent))


@pytest.mark.parametrize("length", ["yes", "no"])
def test_grpo_is_its_formula(length: str) -> None:
    latent, f = made((3, 3), 1)
    z = latent.sample(4, torch.Generator().manual_seed(3))
    advantage = (f(z) - f(z).mean()) / (f(z).std() + 1e-4)
    tokens = z.sum((-1, -2)) if length == "yes" else torch.ones(4, dtype=torch.float64)
    assert len(set(z.sum((-1, -2)).tolist())) > 1
    loss = (advantage / tokens * latent.log_prob(z)).mean()
    close(at_draws(f"grpo:length={length}", latent, f, z), gradient_of(loss, latent))


# Policy networks


def looking_up(table: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A network whose state is the number of the prefix."""

    def network(before: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        ordinary = table.shape[-1] - 1
        moves = before[..., :-1].sum(-1, keepdim=True)
        state = torch.where(moves > 0.5, ordinary * state + 1 + before.argmax(-1, keepdim=True), state)
        return table[state[..., 0].long().clamp_max(len(table) - 1)], state

    return network


@pytest.mark.parametrize(
    "name",
    ["reinforce", "rloo:n=3", "remax", "grpo", "kl-in-loss", "kl-in-reward:credit=to-go", "importance", "ppo-clip"],
)
def test_a_policy_network_gets_the_gradient_of_its_table(name: str) -> None:
    of_table, f = made((3, 3), 2)
    tables = (of_table.params, of_table.reference, of_table.stale)
    network, reference, stale = (looking_up(table) for table in tables if table is not None)
    policy = Policy(torch.zeros(1, dtype=torch.float64), network, 3, 3, reference, stale, beta=1.0)
    found = []
    for latent in (policy, of_table):
        method = estimator(name, latent.spec).to(torch.float64).eval()
        loss = method(f, latent, torch.Generator().manual_seed(0))
        found.append((loss.detach(), gradient_of(loss, of_table)))
    close(found[0][0], found[1][0])
    close(found[0][1], found[1][1])
    assert found[0][1].norm() > 0.01


def test_a_policy_network_of_a_wrong_shape_is_refused() -> None:
    policy = Policy(torch.zeros(2, 4), lambda before, state: (state, state), 3, 3)
    with pytest.raises(UsageError, match=r"must answer logits of every token, \[5, 2, 3\], not \[5, 2, 4\]"):
        policy.sample(5, None)
    with pytest.raises(UsageError, match="at least 1 step and 2 tokens"):
        Policy(torch.zeros(2, 4), lambda before, state: (before, state), 0, 3)
    with pytest.raises(Unsupported, match="use `scored`"):
        policy.score(torch.zeros(1, 2, 3, 3))
    with pytest.raises(UsageError, match="made for sequence 2x3, not for policy 3x3"):
        estimator("rloo", LatentSpec.sequence(2, 3))(no_reward, policy)


def test_a_policy_network_learns_to_sort() -> None:
    run = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "train_policy.py"))
    right = run["train"]("rloo:n=4", steps=60, every=60)
    assert right[0] < 0.25 and right[60] > right[0] + 0.15


# Wrong twins


class Unmasked(Sequence):
    """Padding counts as token 0, at the prefix where the sequence ended."""

    def log_probs(self, z: Tensor) -> Tensor:
        padding = (1 - self.mask(z)).unsqueeze(-1) * torch.eye(z.shape[-1], dtype=z.dtype)[0]
        return self._of_tokens(self.params, z + padding)


class OwnBaseline(GroupMean):
    """The baseline that holds the own draw, claimed to be unbiased."""

    def claim(self) -> Claim:
        return Claim()


class NormalisedAndProportional(Grpo):
    """GRPO, claimed to be unbiased up to a constant."""

    def claim(self) -> Claim:
        return Claim(unbiased=False, proportional=True)


class PenaltyInTheLoss(KlInLoss):
    """k1 in the loss, claimed to be unbiased."""

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, k="k1")

    def claim(self) -> Claim:
        return Claim(target="penalised")


class Backwards(GroupMean):
    """Against the gradient."""

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, -right.grad, at=right.at)


class CreditBeforeTheToken(Rloo):
    """f of the tokens drawn so far in place of f of the sequence."""

    def gradient(self, f: Objective, latent: Sequence, draw: Tensor) -> Estimate:  # type: ignore[override]
        earlier = draw.clone()
        earlier[..., -1, :] = 0
        right = super().gradient(f, latent, draw)
        wrong = super().gradient(f, latent, earlier)
        return Estimate(right.value, wrong.grad, at=wrong.at)


@every_instance
def test_padding_that_is_not_masked_is_seen(size: tuple[int, int], seed: int) -> None:
    latent, f = made(size, seed)
    exact = gradient_of(expectation(f, latent), latent)
    wrong = Unmasked(latent.params)
    found = mean_of(estimator("rloo", latent.spec).to(torch.float64), wrong, f, latent)
    bias = float((found - exact).norm() / exact.norm())
    assert bias > 0.05 if size[0] > 1 else bias < 1e-12, "one step has no padding"


@pytest.mark.parametrize(
    ("twin", "toy"),
    [
        (OwnBaseline, "sequence:t=2"),
        (PenaltyInTheLoss, "sequence:t=2,beta=0.5"),
        (CreditBeforeTheToken, "sequence:t=2"),
    ],
)
def test_a_wrong_twin_is_caught(twin: type[Estimator], toy: str, examine: Callable[..., Any]) -> None:
    found = examine(twin, toy, rows=100)
    assert {group for group, p in found.p.items() if p < ALPHA} == {"cut", "encoder"}, found.p
    with pytest.raises(Failed, match="is biased by"):
        judge(case_of(twin), [Name.parse(toy)], own=False)


def case_of(cls: type[Estimator]) -> Case:
    return Case(ESTIMATORS.find(cls.name), Name(cls.name), cls, "sequence")


def test_a_claim_of_a_constant_is_tested() -> None:
    assert unbiased(case_of(GroupMean)).startswith("claims to be biased up to a constant, 0.7")
    with pytest.raises(Failed, match="cut, encoder on sequence:t=2: the mean is no c > 0 times the gradient"):
        unbiased(case_of(NormalisedAndProportional))
    with pytest.raises(Failed, match="the mean is no c > 0 times"):
        unbiased(case_of(Backwards))


# What a caller gives


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sequence(torch.zeros(0, 3)), "an empty sequence has nothing to draw: give at least one step"),
        (lambda: LatentSpec.sequence(0, 3), "at least 1 step and 2 tokens, one of which ends it, not 0x3"),
        (lambda: LatentSpec.sequence(3, 1), "at least 1 step and 2 tokens, one of which ends it, not 3x1"),
        (lambda: Sequence(torch.zeros(3, 1)), "K >= 2 tokens, of which the last one ends it"),
        (lambda: Sequence(torch.zeros(4)), "K >= 2 tokens"),
        (lambda: Sequence(torch.zeros(5, 3)), "5 prefixes do not belong to sequences of 3 tokens.* 1, 3, 7 of them"),
        (lambda: Sequence(torch.zeros(3, 3), torch.zeros(3, 2)), r"the reference policy has logits of shape \[3, 2\]"),
        (
            lambda: Sequence(torch.zeros(3, 3), stale=torch.zeros(7, 3)),
            r"the stale policy has logits of shape \[7, 3\]",
        ),
        (lambda: Sequence(torch.zeros(3, 3), beta=-1.0), "beta must be at least 0"),
        (lambda: Sequence(torch.zeros(3, 3), torch.tensor([0.0, -torch.inf, 0]).expand(3, 3)).validate(), "infinite"),
        (lambda: Sequence(torch.zeros(1, 2), stale=torch.tensor([[0.0, -torch.inf]])).validate(), "never draws"),
        (lambda: Sequence(torch.zeros(3, 3)).log_prob(torch.zeros(1, 3, 3)), r"z has shape \[1, 3, 3\]: give one-hot"),
        (lambda: estimator("kl-in-reward:per=sequence,credit=to-go", LatentSpec.sequence(2, 3)), "no part to go"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_measure_takes_sequences() -> None:
    latent, f = made((2, 3), 0, beta=0.3)
    narrow = Sequence(*(table.detach().float() for table in (latent.params, latent.reference, latent.stale)), beta=0.3)  # type: ignore[union-attr]
    table = normal(7, seed=3).float()
    frame = measure(
        lambda z: table[numbered(z)[..., -1]], narrow, ["rloo", "kl-in-loss", "importance", "disarm"], draws=6400
    ).frame()
    verdicts = dict(zip(frame["estimator"], frame["verdict"], strict=True))
    assert verdicts == {"rloo": "unbiased", "kl-in-loss": "unbiased", "importance": "unbiased", "disarm": "unsupported"}
    with pytest.raises(UsageError, match="infinite"):
        measure(f, Sequence(torch.zeros(3, 3), torch.full((3, 3), -torch.inf)), "rloo", draws=6400)


def test_a_spec_makes_a_latent_of_itself() -> None:
    for size in SIZES:
        spec = LatentSpec.sequence(*size)
        assert latent_at(spec, torch.zeros(2, *spec.param_shape)).spec == spec
        assert spec.configurations == len(latent_at(spec, torch.zeros(spec.param_shape)).support())  # type: ignore[attr-defined]
