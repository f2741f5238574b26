"""Changing the hyper-parameters of an estimator that exists."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dvae_bench import Claim, Estimate, LatentSpec, UsageError, estimator
from dvae_bench.estimators.contract import Estimator, Unsupported
from dvae_bench.estimators.latents import Latent, Objective, latent_at
from dvae_bench.estimators.registry import ESTIMATORS
from torch import Tensor, nn

SPECS = {
    "bernoulli": LatentSpec.bernoulli(3),
    "categorical": LatentSpec.categorical(2, 3),
    "continuous": LatentSpec.continuous("gaussian", 3, 2),
    "subset": LatentSpec.subset(4, 2),
    "encodings": LatentSpec.encodings(2, 3, 5),
    "sequence": LatentSpec.sequence(2, 3),
}
BITS = SPECS["bernoulli"]


def gradient(method: Estimator) -> Tensor:
    torch.manual_seed(2)
    leaf = torch.randn(4, *method.spec.param_shape, requires_grad=True)
    dims = tuple(range(-len(method.spec.event_shape), 0))
    loss = method.eval()(lambda z: (z - 0.45).exp().square().sum(dims), latent_at(method.spec, leaf))
    return torch.autograd.grad(loss.sum(), leaf)[0]


def changes() -> list[Any]:
    """Every number among the hyper-parameters of every estimator, with another value that its rule allows."""
    found = []
    for plugin in ESTIMATORS:
        for key, rule in plugin.fact("hyperparameters", {}).items():
            value = next((choice for choice in rule.get("choices", ()) if choice != rule["default"]), None)
            if value is None:
                value = rule["default"] / 2 if isinstance(rule["default"], float) else rule["default"] + 2
            if value != rule["default"]:
                found.append(pytest.param(plugin.name, key, value, id=f"{plugin.name}:{key}"))
    return found


@pytest.mark.parametrize(("name", "key", "value"), changes())
def test_a_value_that_is_set_is_as_one_that_was_given_or_is_refused(name: str, key: str, value: Any) -> None:
    """`tau = 3.0` was ignored by gumbel-softmax, st-gumbel-softmax, gumbel-rao and rebar."""
    kind = ESTIMATORS.find(name).fact("latents")[0]
    cls = ESTIMATORS.find(name).load()
    try:
        given, moved = cls(SPECS[kind], **{key: value}), cls(SPECS[kind])
    except (Unsupported, UsageError) as reason:
        pytest.skip(str(reason))
    try:
        setattr(moved, key, value)
    except UsageError as reason:
        assert "make another one" in str(reason)
        assert key in ("hidden", "rate", "dead")
        return
    assert repr(moved) == repr(given)
    assert torch.equal(gradient(moved), gradient(given))


@pytest.mark.parametrize("name", ["gumbel-softmax", "st-gumbel-softmax", "gumbel-rao", "rebar"])
def test_the_attribute_and_set_change_the_gradient(name: str) -> None:
    before, by_attribute, by_set = (estimator(name, BITS) for _ in range(3))
    by_attribute.tau = 3.0
    by_set.set(tau=3.0)
    assert torch.equal(gradient(by_attribute), gradient(by_set))
    assert not torch.allclose(gradient(by_set), gradient(before), rtol=1e-3)


def test_a_learned_temperature_starts_anew_even_from_the_same_value() -> None:
    rebar = estimator("rebar", BITS)
    with torch.no_grad():
        rebar.get_parameter("log_tau").add_(1)
        rebar.get_parameter("scale").add_(1)
    rebar.set(tau=0.5)
    assert rebar.get_parameter("log_tau").exp().item() == pytest.approx(0.5)
    assert rebar.get_parameter("scale") == 2, "eta was not set"


def test_the_rest_of_the_state_stays() -> None:
    moving = estimator("reinforce-ema", BITS)
    moving.get_buffer("total").fill_(3)
    moving.decay = 0.5
    assert moving.get_buffer("total") == 3
    annealed = estimator("gumbel-softmax:tau=1,rate=.1", BITS)
    annealed.step()
    annealed.rate = 0.2
    (fresh := estimator("gumbel-softmax:tau=1,rate=.2", BITS)).step()
    assert torch.equal(gradient(annealed), gradient(fresh))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("rloo", {"n": 1}, "whole number >= 2"),
        ("rloo", {"m": 3}, "no parameter 'm'"),
        ("gumbel-softmax:tau=1,rate=.1", {"tau": 0.1}, "cannot fall"),
        ("gumbel-softmax:tau=1", {"rate": 0.1}, "make another one"),
        ("relax", {"hidden": 137}, "make another one"),
    ],
)
def test_a_bad_value_is_refused_and_nothing_changes(name: str, values: dict[str, Any], message: str) -> None:
    method = estimator(name, BITS)
    before = repr(method)
    with pytest.raises(UsageError, match=message):
        method.set(**values)
    assert repr(method) == before


def test_every_layer_is_set() -> None:
    layers = estimator("gumbel-softmax", BITS, BITS)
    layers.tau = 2.0
    assert repr(layers) == "Layered(gumbel-softmax:tau=2.0, gumbel-softmax:tau=2.0)"
    assert layers.tau == 2.0


def test_setting_draws_no_random_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    estimator("relax", BITS).tau = 0.7
    assert torch.equal(torch.rand(3), expected)


class Derived(Estimator):
    """A plugin that computes from its hyper-parameters, draws a network, and counts in plain attributes."""

    name = "derived"
    latents = ("bernoulli",)
    hyperparameters = {"width": {"default": 1.0, "above": 0.0}, "n": {"default": 1, "min": 1}}
    cost = "1 evaluation"
    reference = "none"

    def __init__(self, spec: LatentSpec, **values: Any) -> None:
        super().__init__(spec, **values)
        self.n = max(self.n, 2)
        self.twice, self.count, self.network = 2 * self.width, 0, nn.Linear(2, 2)

    def claim(self) -> Claim:
        return Claim(unbiased=False)

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        return Estimate(f(draw).mean(0), self.twice * latent.score(draw).mean(0))


def test_what_a_plugin_computes_in_its_constructor_follows() -> None:
    plugin = Derived(BITS)
    plugin.count = 5
    weight = plugin.network.weight.clone()
    plugin.width = 3.0
    assert (plugin.twice, plugin.count, plugin.n) == (6.0, 5, 2)
    assert torch.equal(plugin.network.weight, weight)
