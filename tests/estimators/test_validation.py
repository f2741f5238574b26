"""What a caller gives an estimator: a latent of its spec, and an f that answers with one number for each z."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.bench.check.case import Case
from dvae_bench.bench.sources.costs import count_costs
from dvae_bench.estimators import estimator
from dvae_bench.estimators.latents import Bernoulli, LatentSpec, Objective, latent_at
from dvae_bench.estimators.names import Name, Unsupported, UsageError
from dvae_bench.estimators.registry import ESTIMATORS, Plugin
from dvae_bench.estimators.tuning import Tuner
from torch import Tensor

BUILTIN = list(ESTIMATORS.builtin.values())
every_estimator = pytest.mark.parametrize("plugin", BUILTIN, ids=lambda plugin: plugin.name)
without_derivatives = pytest.mark.parametrize(
    "plugin", [plugin for plugin in BUILTIN if not plugin.facts.get("differentiates")], ids=lambda plugin: plugin.name
)
BITS = LatentSpec.bernoulli(6)
OTHERS = {
    "bernoulli": (LatentSpec.bernoulli(5), LatentSpec.categorical(2, 4)),
    "categorical": (LatentSpec.categorical(2, 4), LatentSpec.categorical(3, 3), BITS),
    "subset": (LatentSpec.subset(4, 3), LatentSpec.subset(5, 2), LatentSpec.bernoulli(4)),
    "continuous": (LatentSpec.continuous("laplace", 4, 2), LatentSpec.continuous("gaussian", 3, 2), BITS),
    "encodings": (LatentSpec.encodings(2, 2, 5), LatentSpec.encodings(2, 3, 4), BITS),
    "sequence": (LatentSpec.sequence(2, 3), LatentSpec.sequence(3, 2), LatentSpec.categorical(3, 3)),
}


@every_estimator
def test_a_latent_of_another_spec_is_refused(plugin: Plugin) -> None:
    """`estimator("disarm", LatentSpec.bernoulli(6))` accepted a categorical, and its gradient was wrong."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        made = case.fresh()
        for other in OTHERS[kind]:
            latent = latent_at(other, torch.zeros(2, *other.param_shape))
            for call in (made, made.estimate):
                with pytest.raises(UsageError, match=f"made for {case.spec}.*, not for {other}"):
                    call(lambda z: z.flatten(2).sum(-1), latent)


def test_encodings_of_another_codebook_are_told_apart_in_words() -> None:
    quantiser = estimator("vq-st", LatentSpec.encodings(2, 2, 4))
    with pytest.raises(UsageError, match="encodings 2x2 of 4 codes, not for encodings 2x2 of 5 codes"):
        quantiser(lambda z: z.sum((-2, -1)), latent_at(LatentSpec.encodings(2, 2, 5), torch.zeros(2, 2)))


def test_a_lower_layer_of_another_spec_is_refused() -> None:
    layers = estimator("rloo", LatentSpec.bernoulli(2), LatentSpec.bernoulli(3))
    (lower,) = layers.lower(None)
    with pytest.raises(UsageError, match="made for bernoulli 3, not for bernoulli 2"):
        layers(lambda z: lower(lambda below: below.sum(-1), Bernoulli(z)), Bernoulli(torch.zeros(2)))


FORGOTTEN = {
    "a scalar, as of a loss without its reduction": lambda z: z.square().mean(),
    "one number for all draws": lambda z: z.square().flatten(2).sum(-1)[:1].mean(0),
    "one number for each dimension of z": lambda z: z.square().sum(-1) if z.dim() > 3 else z.square(),
}


@every_estimator
@pytest.mark.parametrize("f", FORGOTTEN.values(), ids=FORGOTTEN)
def test_f_must_return_one_number_per_z(plugin: Plugin, f: Objective) -> None:
    """21 pairs of estimator and latent took a scalar, `exact` with a gradient of 1e-8."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        latent = case.latent(case.params(3, dtype=torch.float32).requires_grad_())
        with pytest.raises(UsageError, match=r"f must return one number per z.*reduction=\"none\""):
            case.fresh()(f, latent)


def hits(z: Tensor) -> Tensor:
    """How many coordinates of z [n, batch, *event] are at least a half: a whole number."""
    return (z.flatten(2) >= 0.5).sum(-1)


@without_derivatives
@pytest.mark.parametrize("count", [hits, lambda z: hits(z) > 1], ids=["whole numbers", "true or false"])
def test_a_count_is_taken_as_a_number(plugin: Plugin, count: Objective) -> None:
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        found = []
        for f in (count, lambda z: count(z).to(torch.float64)):
            leaf = case.params(3).requires_grad_()
            loss = case.fresh(torch.float64)(f, case.latent(leaf), torch.Generator().manual_seed(0))
            assert loss.dtype == torch.float64
            found.append(torch.autograd.grad(loss.sum(), leaf, allow_unused=True)[0])
        assert torch.equal(*found)


@pytest.mark.parametrize(("value", "kind"), [(1.0, "float"), (np.ones(2), "ndarray"), (None, "NoneType")])
def test_what_is_no_tensor_is_refused(value: object, kind: str) -> None:
    sentence = rf"f must return a tensor \[2\], one number per z, not a {kind}: make it one with torch.as_tensor"
    with pytest.raises(UsageError, match=sentence):
        estimator("rloo", BITS)(lambda z: value, Bernoulli(torch.zeros(6)))


WITHOUT_DERIVATIVE = {
    "whole numbers": hits,
    "a threshold": lambda z: (z > 0.5).to(z.dtype).flatten(2).sum(-1),
    "detached": lambda z: z.detach().flatten(2).sum(-1),
}


@pytest.mark.parametrize(
    "plugin", [plugin for plugin in BUILTIN if plugin.facts.get("differentiates")], ids=lambda plugin: plugin.name
)
@pytest.mark.parametrize("f", WITHOUT_DERIVATIVE.values(), ids=WITHOUT_DERIVATIVE)
def test_what_cannot_be_differentiated_is_refused_by_those_that_differentiate(plugin: Plugin, f: Objective) -> None:
    """59 pairs of estimator and latent raised torch's words, `element 0 of tensors does not require grad`."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        latent = case.latent(case.params(3, dtype=torch.float32).requires_grad_())
        with pytest.raises(
            Unsupported, match=r"this estimator differentiates f in z.*take an estimator that only eval"
        ):
            case.fresh()(f, latent).sum().backward()


@every_estimator
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_value_of_another_dtype_is_converted(plugin: Plugin, dtype: torch.dtype) -> None:
    """Rewards in float64: `arsm` and `arsm-plus` raised `expected m1 and m2 to have the same dtype`."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        found = []
        for f in (lambda z: z.flatten(2).square().sum(-1).to(dtype), lambda z: f64(z, dtype)):
            leaf = case.params(3, dtype=torch.float32).requires_grad_()
            loss = case.fresh()(f, case.latent(leaf), torch.Generator().manual_seed(0))
            assert loss.dtype == torch.float32
            found.append((loss, *torch.autograd.grad(loss.sum(), leaf)))
        assert all(map(torch.equal, *found))


def f64(z: Tensor, dtype: torch.dtype) -> Tensor:
    """As rounded to `dtype`, then float32."""
    return z.flatten(2).square().sum(-1).to(dtype).to(torch.float32)


MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


@every_estimator
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_without_gradients_the_value_is_the_same(plugin: Plugin, mode: type[torch.no_grad]) -> None:
    """12 pairs of estimator and latent raised in inference mode, among them `rebar` and `disarm-tree`."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        for train in (False, True):
            latent = case.latent(case.params(3).requires_grad_())
            f, made = case.objective(latent), [case.fresh(torch.float64).train(train) for _ in range(2)]
            expected = made[0](f, latent, torch.Generator())
            with mode():
                found = made[1](f, case.latent(case.params(3)), torch.Generator())
            assert torch.equal(found, expected)
            assert not found.requires_grad


def test_what_was_made_in_inference_mode_cannot_be_differentiated() -> None:
    muprop = estimator("muprop", BITS)
    with torch.inference_mode():
        weight = torch.ones(6)
        with pytest.raises(UsageError, match=r"made in torch.inference_mode\(\): use torch.no_grad\(\)"):
            muprop(lambda z: (z * weight).square().sum(-1), Bernoulli(torch.zeros(6)))


def bad_once(value: float) -> Objective:
    return lambda z: (z.flatten(2).square().sum(-1) + z.new_tensor([0.0, value, 0.0])).abs()


@every_estimator
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_bad_value_of_f_does_not_spoil_the_state(plugin: Plugin, value: float) -> None:
    """The baselines of `reinforce-ema` and `nvil`, and what a tuner tunes, were NaN for good."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        made, generator = case.fresh().train(), torch.Generator().manual_seed(0)
        tuner = Tuner(made)
        for f in (bad_once(value), bad_once(0.0)):
            latent = case.latent(case.params(3, dtype=torch.float32).requires_grad_())
            estimate = made.estimate(f, latent, generator)
            tuner.step(estimate.tuning_loss)
            assert all(tensor.isfinite().all() for tensor in made.state_dict().values())
        assert torch.autograd.grad(estimate.spliced(latent).sum(), latent.params)[0].isfinite().all()


def test_a_baseline_skips_a_step_that_is_not_finite() -> None:
    ema, latent = estimator("reinforce-ema:decay=0.5", BITS).train(), Bernoulli(torch.zeros(2, 6))
    for value in (4.0, float("nan"), 8.0, float("inf")):
        ema(lambda z, value=value: torch.full_like(z[..., 0], value), latent)
    assert float(ema.total / ema.weight) == pytest.approx((0.25 * 4 + 0.5 * 8) / 0.75)


def test_validation_asks_nothing_of_the_device() -> None:
    """The same operations, none of which waits, as sampling and estimating without it."""
    reinforce, latent = estimator("reinforce", BITS), Bernoulli(torch.zeros(4, 6))

    def f(z: Tensor) -> Tensor:
        return z.sum(-1)

    bare = count_costs(lambda: reinforce.gradient(f, latent, reinforce.sample(latent, None)))
    assert count_costs(lambda: reinforce.estimate(f, latent)) == bare
    assert bare.syncs == 0


def test_logits_in_place_of_a_latent_are_refused() -> None:
    with pytest.raises(UsageError, match=r"disarm takes a latent, such as Bernoulli\(logits\), not a Tensor"):
        estimator("disarm", BITS)(lambda z: z.sum(-1), torch.zeros(6))


def tripled(z: Tensor) -> Tensor:
    z.mul_(3)
    return z


def first_set(z: Tensor) -> Tensor:
    z[..., 0] = 1
    return z


def shifted_unseen(z: Tensor) -> Tensor:
    with torch.no_grad():
        z.sub_(1)
    return z


@every_estimator
@pytest.mark.parametrize("change", [tripled, first_set, shifted_unseen])
def test_an_f_that_changes_z_in_place_is_refused(plugin: Plugin, change: Objective) -> None:
    """36 pairs of estimator and latent returned another gradient, `reinforce` of z.mul_(2) twice the right one."""
    for kind in plugin.facts["latents"]:
        case = Case(plugin, Name(plugin.name), plugin.load(), kind)
        for train in (False, True):
            latent = case.latent(case.params(3, dtype=torch.float32).requires_grad_())
            with pytest.raises(UsageError, match=r"f must leave its z as it is.*write z = 2 \* z"):
                case.fresh().train(train)(lambda z: change(z).flatten(2).sum(-1), latent)


def test_an_f_may_change_its_own_tensors_in_place() -> None:
    latent = Bernoulli(torch.zeros(2, 6, requires_grad=True))
    found = [
        torch.autograd.grad(estimator("rebar", BITS)(f, latent, torch.Generator().manual_seed(0)).sum(), latent.params)[
            0
        ]
        for f in (lambda z: z.clone().sub_(0.45).square_().sum(-1), lambda z: (z - 0.45).square().sum(-1))
    ]
    assert torch.equal(*found)
    with pytest.raises(RuntimeError, match="size of tensor"):
        estimator("rebar", BITS)(lambda z: z.sum(-1) + torch.zeros(7), latent)
