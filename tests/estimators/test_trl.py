"""TRL's gradients beside ours: the weights of docs/policy-gradients.md, on shared samples and in stored rows.

The former are skipped where TRL is missing (extra `trl`); the latter need only the rows.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
import torch
from dvae_bench import Policy, Unsupported
from dvae_bench.estimators.latents import LatentSpec, Sequence
from dvae_bench.estimators.latents.sequence import numbered
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.plugin import Plugin
from dvae_bench.estimators.registry import Registry
from torch import Tensor

ROOT = Path(__file__).parents[2]
STORED = ROOT / "results" / "reference" / "policy-gradients"
N, BETA = 4, 0.7
DR_GRPO = "trl-grpo:loss=dr_grpo,scale=none"
FLOAT32 = 1e-7
"""TRL computes n / (n - 1) of its variance in float32; all else here is in float64."""


@functools.cache
def trl() -> Mapping[str, Plugin]:
    pytest.importorskip("trl", reason="trl is not installed (extra `trl`)")
    found = Registry("estimator", ROOT / "tests", "none").add_file(ROOT / "examples" / "peers" / "trl_peers.py")
    return {plugin.name: plugin for plugin in found}


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SPEC = LatentSpec.sequence(3, 3)
REWARD = normal(SPEC.configurations, seed=9)


def policy(beta: float = BETA) -> Sequence:
    params, reference, stale = (normal(2, 5, *SPEC.param_shape, seed=seed) for seed in range(3))
    return Sequence(params.requires_grad_(), reference, stale, beta)


def f(z: Tensor) -> Tensor:
    return REWARD[numbered(z)[..., -1]]


def theirs(form: str, latent: Sequence, z: Tensor) -> Tensor:
    name = Name.parse(form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method = trl()[name.family].load()(SPEC, **name.values)
        loss = method.gradient(f, latent, z).spliced(latent)
    return torch.autograd.grad(loss.sum(), latent.params)[0]


def of_weight(weight: Tensor, latent: Sequence, z: Tensor) -> Tensor:
    grad, at = latent.weighted_score(z, weight, mean=True)
    assert at is not None
    return torch.autograd.grad(at, latent.params, grad)[0]


class Parts:
    """What the weights are made of, as the page names them, each [n, *batch] or [n, *batch, T]."""

    def __init__(self, latent: Sequence, z: Tensor) -> None:
        cost, self.T, self.beta = f(z), latent.steps, latent.beta
        self.log_ratio = latent.log_probs(z).detach() - latent.prior_log_probs(z)
        stale = latent.log_probs(z).detach() - latent.behaviour.log_probs(z)
        self.rho_t, self.rho = stale.exp(), stale.sum(-1).exp()
        length = latent.mask(z).sum(-1)
        self.L, self.all_L = length, length.sum(0)
        self.centred, self.s = cost - cost.mean(0), cost.std(0) + 1e-4
        self.own = self.with_others(cost)
        self.of_k1 = self.with_others(cost + self.beta * self.log_ratio.sum(-1))

    def with_others(self, cost: Tensor) -> Tensor:
        """cost minus the mean of the other draws'."""
        return cost - (cost.sum(0) - cost) / (N - 1)


def clipped(ratio: Tensor, advantage: Tensor) -> Tensor:
    gone = ((ratio > 1.2) & (advantage < 0)) | ((ratio < 0.8) & (advantage > 0))
    return (ratio * advantage).masked_fill(gone, 0.0)


def token(weight: Tensor) -> Tensor:
    return weight.unsqueeze(-1)


WEIGHTS: dict[str, Callable[[Parts], Tensor]] = {
    "trl-rloo": lambda p: p.of_k1,
    "trl-grpo": lambda p: N * token(1 / p.all_L) * (token(p.centred / p.s) + p.beta * p.log_ratio),
    "trl-grpo:loss=bnpo": lambda p: N * token(1 / p.all_L) * (token(p.centred / p.s) + p.beta * p.log_ratio),
    "trl-grpo:loss=cispo": lambda p: N * token(1 / p.all_L) * (0.2 * token(p.centred / p.s) + p.beta * p.log_ratio),
    "trl-grpo:scale=none": lambda p: N * token(1 / p.all_L) * (token(p.centred) + p.beta * p.log_ratio),
    "trl-grpo:loss=grpo": lambda p: token(1 / p.L) * (token(p.centred / p.s) + p.beta * p.log_ratio),
    "trl-grpo:loss=luspo": lambda p: token(p.centred / p.s) + p.beta * p.log_ratio,
    "trl-grpo:loss=dr_grpo": lambda p: (token(p.centred / p.s) + p.beta * p.log_ratio) / p.T,
    DR_GRPO: lambda p: (token(p.centred) + p.beta * p.log_ratio) / p.T,
    f"{DR_GRPO},kl=plain": lambda p: (token(p.centred) - p.beta * torch.expm1(-p.log_ratio)) / p.T,
}
STALE: dict[str, Callable[[Parts], Tensor]] = {
    "trl-rloo:samples=stale": lambda p: clipped(p.rho, p.own),
    f"{DR_GRPO},samples=stale": lambda p: clipped(p.rho_t, token(p.centred).expand_as(p.rho_t)) / p.T,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", WEIGHTS)
def test_a_gradient_of_trl_has_the_weight_of_the_page(form: str) -> None:
    latent = policy()
    z = latent.sample(N, torch.Generator().manual_seed(1))
    ours = of_weight(WEIGHTS[form](Parts(latent, z)), latent, z)
    torch.testing.assert_close(theirs(form, latent, z), ours, rtol=0, atol=FLOAT32)
    for other in WEIGHTS.keys() - {form}:
        same = {form, other} <= {"trl-grpo", "trl-grpo:loss=bnpo"}
        difference = of_weight(WEIGHTS[other](Parts(latent, z)), latent, z) - ours
        assert same or difference.abs().max() > 0.01, f"{other} would pass for {form}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", STALE)
def test_a_gradient_of_trl_at_stale_samples_has_the_weight_of_the_page(form: str) -> None:
    latent = policy(beta=0.0)
    z = latent.behaviour.sample(N, torch.Generator().manual_seed(1))
    torch.testing.assert_close(theirs(form, latent, z), of_weight(STALE[form](Parts(latent, z)), latent, z))


@pytest.mark.filterwarnings("ignore")
def test_trl_without_a_stale_policy_or_a_batch_is_the_same() -> None:
    whole = policy()
    params = whole.params.detach()[0, 0].clone().requires_grad_()
    assert whole.reference is not None
    one = Sequence(params, whole.reference[0, 0], beta=BETA)
    z = one.sample(N, torch.Generator().manual_seed(2))
    found = theirs("trl-rloo", one, z)
    torch.testing.assert_close(found, of_weight(WEIGHTS["trl-rloo"](Parts(one, z)), one, z))


@pytest.mark.filterwarnings("ignore")
def test_a_policy_network_is_refused() -> None:
    network = Policy(torch.zeros(2, 4), lambda before, state: (before, state), 3, 3)
    with pytest.raises(Unsupported, match="give a Sequence, not a policy 3x3"):
        trl()["trl-rloo"].load()(network.spec).gradient(f, network, torch.zeros(4, 2, 3, 3))


# Stored rows


def stored(name: str) -> pd.DataFrame:
    return pd.read_csv(STORED / f"{name}.csv").set_index(["task", "estimator"])


@pytest.mark.parametrize(
    ("task", "form", "ours", "constant"),
    [
        ("sequence", "trl-rloo", "rloo:n=4", 1),
        ("sequence", "trl-grpo:loss=grpo", "grpo", 1),
        ("sequence", "trl-grpo:loss=dr_grpo", "grpo:length=no", 3),
        ("sequence", DR_GRPO, "dr-grpo", 1),
        ("sequence:beta=0.5", "trl-rloo", "kl-in-reward:n=4", 1),
    ],
)
def test_the_exact_moments_of_trl_are_ours(task: str, form: str, ours: str, constant: float) -> None:
    """constant: T, where ours leaves it out."""
    a, b = stored("trl").loc[(task, form)], stored("exact").loc[(task, ours)]
    assert a["scale"] * constant == pytest.approx(b["scale"], rel=FLOAT32)
    assert a["bend"] == pytest.approx(b["bend"], rel=FLOAT32, abs=1e-9)
    assert a["variance"] * constant**2 == pytest.approx(b["variance"], rel=FLOAT32)
    assert a["version"].split(".")[0].isdigit()
