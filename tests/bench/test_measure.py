"""`measure` takes names, classes and estimators alike, and its table keeps the name asked for."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pandas as pd
import pytest
import torch
from dvae_bench import Bernoulli, Estimate, Estimator, LatentSpec, UsageError, estimator, measure
from dvae_bench.estimators.control_variates.rebar import Rebar
from dvae_bench.estimators.coupled.disarm import Disarm
from dvae_bench.estimators.score_function.rloo import Rloo
from torch import Tensor, nn

SPEC = LatentSpec.bernoulli(3)


def table(estimators: Any) -> pd.DataFrame:
    def f(z: Tensor) -> Tensor:
        return (z - 0.45).square().sum(-1) * (1 + z[..., 0])

    latent = Bernoulli(torch.tensor([0.3, -1.0, 0.8]))
    return measure(f, latent, estimators, draws=640).frame()


def numbers(estimators: Any) -> pd.DataFrame:
    return table(estimators).drop(columns="estimator")


class Mine(Estimator):
    """REINFORCE, in no registry."""

    name = "mine"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "a test"

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        f_z, score = f(draw), latent.score(draw)
        return Estimate(f_z.mean(0), (f_z.detach().unsqueeze(-1) * score).mean(0))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("rloo", ["rloo"]),
        ("rloo:n=2", ["rloo:n=2"]),
        ("leave-one-out", ["leave-one-out"]),
        (["rloo:n={2,4}", "disarm"], ["rloo:n=2", "rloo:n=4", "disarm"]),
        (("reinforce", "reinforce"), ["reinforce"]),
        ("rlo*", ["rloo"]),
        (Rloo, ["rloo"]),
        (estimator("rloo:n=4", SPEC), ["rloo:n=4"]),
        (["disarm", Rloo, estimator("rebar:eta=0.5", SPEC), Mine], ["disarm", "rloo", "rebar:eta=0.5", "mine"]),
        ([Rloo, "rloo", estimator("rloo", SPEC), "rloo"], ["rloo", "rloo (2)", "rloo (3)"]),
    ],
    ids=str,
)
def test_the_table_keeps_the_name_asked_for(asked: Any, named: list[str]) -> None:
    """A string was taken letter by letter, and an alias or a default came back under another name."""
    found = table(asked)
    assert sorted(found["estimator"]) == sorted(named) and found["variance"].gt(0).all()


@pytest.mark.parametrize(
    ("name", "cls"), [("rloo", Rloo), ("disarm", Disarm), ("rebar", Rebar)], ids=["rloo", "disarm", "rebar"]
)
def test_a_class_and_an_estimator_give_the_numbers_of_the_name(name: str, cls: type[Estimator]) -> None:
    """Also where it is tuned first, which an estimator in train() is, as one by name."""
    for same in ([name], cls, cls(SPEC)):
        pd.testing.assert_frame_equal(numbers(name), numbers(same))


def test_an_estimator_in_eval_is_measured_as_it_is() -> None:
    """The moving average that has seen nothing is no baseline: what it draws is REINFORCE."""
    frozen = estimator("reinforce-ema", SPEC).eval()
    assert numbers(frozen)["variance"][0] == numbers("reinforce")["variance"][0]
    assert numbers(frozen.train())["variance"][0] < numbers("reinforce")["variance"][0]


@pytest.mark.parametrize("name", ["rebar", "reinforce-ema", "nvil"])
def test_the_callers_estimator_does_not_move(name: str) -> None:
    mine = estimator(name, SPEC)
    before, training = copy.deepcopy(mine.state_dict()), mine.training
    table(mine)
    assert mine.training is training
    assert all(torch.equal(tensor, before[key]) for key, tensor in mine.state_dict().items())


def test_what_the_latent_is_not_for_is_a_line() -> None:
    found = table([estimator("rloo", SPEC), "carms"]).set_index("estimator")
    assert found["verdict"]["carms"] == "unsupported"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (3, "names, Estimator classes and estimators, not 3"),
        (["rloo", 3.0], "names, Estimator classes and estimators, not 3.0"),
        (int, "names, Estimator classes and estimators, not <class 'int'>"),
        (Estimator, "names, Estimator classes and estimators, not <class .*Estimator'>"),
        ([], "no estimator"),
        ("rlooo", "unknown estimator 'rlooo'"),
        (estimator("rloo", LatentSpec.bernoulli(4)), "this rloo was made for bernoulli 4, not for bernoulli 3"),
    ],
    ids=str,
)
def test_anything_else_is_refused_in_one_sentence(asked: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        table(asked)


LATENT = Bernoulli(torch.tensor([0.3, -1.0, 0.8]))


def smooth(z: Tensor) -> Tensor:
    return (z - 0.45).square().sum(-1)


def step(z: Tensor) -> Tensor:
    return (z > 0.5).to(z.dtype).sum(-1)


def outside_torch(z: Tensor) -> Tensor:
    return torch.as_tensor(z.numpy().sum(-1))


class Failing(Mine):
    name = "failing"

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        raise ZeroDivisionError("no luck")


def test_one_that_fails_is_named_and_loses_nothing() -> None:
    found = measure(smooth, LATENT, ["rloo", Failing, "disarm"], draws=640).frame().set_index("estimator")
    assert found["verdict"]["failing"] == "error" and found["reason"]["failing"] == "ZeroDivisionError: no luck"
    alone = measure(smooth, LATENT, ["rloo", "disarm"], draws=640).frame().set_index("estimator")
    pd.testing.assert_frame_equal(found.drop(index="failing"), alone, check_dtype=False)


def test_if_all_fail_the_first_error_is_raised_with_its_name() -> None:
    with pytest.raises(ZeroDivisionError, match="no luck") as raised:
        measure(smooth, LATENT, Failing, draws=640)
    assert raised.value.__notes__ == ["measuring failing"]


@pytest.mark.parametrize("f", [step, outside_torch])
def test_an_f_without_a_gradient_is_measured_by_those_that_only_evaluate_it(f: Any) -> None:
    asked = ["rloo", "gumbel-softmax", "straight-through", "rebar", estimator("reinmax", SPEC)]
    found = measure(f, LATENT, asked, draws=640).frame().set_index("estimator")
    assert found["variance"]["rloo"] > 0
    assert set(found["verdict"].drop("rloo")) == {"unsupported"}
    assert found["reason"].drop("rloo").str.endswith("this f is defined on discrete z only").all()


@pytest.mark.parametrize("draws", [0, -1, 511, 640.0])
def test_too_few_draws_are_refused(draws: Any) -> None:
    with pytest.raises(UsageError, match="at least 512"):
        measure(smooth, LATENT, "rloo", draws=draws)


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_an_empty_latent_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="empty"):
        measure(smooth, Bernoulli(torch.zeros(shape)), "rloo", draws=640)


def test_an_f_that_fails_is_the_callers_own_error_before_anything_is_measured() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        measure(lambda z: z @ torch.zeros(7), LATENT, draws=640)


@pytest.mark.parametrize(
    ("layer", "words"), [(nn.Dropout(), "f is random"), (nn.BatchNorm1d(3), "f mixes draws")], ids=["dropout", "norm"]
)
def test_a_model_in_train_mode_is_named_as_the_reason(layer: nn.Module, words: str) -> None:
    """It looked as if `exact` were biased."""

    def f(z: Tensor) -> Tensor:
        return layer(z.flatten(0, -2)).unflatten(0, z.shape[:-1]).square().sum(-1)

    latent = Bernoulli(torch.zeros(3))
    with pytest.warns(UserWarning, match=f"{words}.*eval"):
        measure(f, latent, "exact", draws=640)
    layer.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(f, latent, "exact", draws=640)


def test_an_objective_without_derivative_leaves_the_others() -> None:
    """Nothing came back."""
    found = measure(lambda z: (z.sum(-1) > 1).float(), Bernoulli(torch.zeros(3)), ["rloo", "rebar"], draws=640).frame()
    assert [*found["estimator"]] == ["rloo", "rebar"]
    assert found.set_index("estimator")["bias_rel"].notna().to_dict() == {"rloo": True, "rebar": False}


class Nothing(Mine):
    """A gradient of zero, without any variance."""

    name = "nothing"

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        return Estimate(f(draw).mean(0), torch.zeros_like(latent.params))


def cubic(z: Tensor) -> Tensor:
    return (z.sum(-1) - 1.3) ** 3


WIDE = Bernoulli(torch.linspace(-1, 1, 16))


def test_the_order_is_that_of_the_ranking_and_the_zero_gradient_is_last() -> None:
    """It was the one of least variance, which won."""
    for latent in (LATENT, WIDE):
        found = measure(cubic, latent, [Nothing, "reinforce", "rloo"], draws=6400)
        assert found.best() in ("reinforce", "rloo") and list(found.frame()["estimator"])[-1] == "nothing"
        assert found.frame()["error"].iloc[:2].is_monotonic_increasing and not found.frame()["tied"].iloc[-1]


def test_more_calls_favour_what_can_use_them() -> None:
    few, many = (measure(cubic, LATENT, ["reinforce", "rloo:n=4"], draws=6400, calls=calls) for calls in (1, 16))
    assert few.frame().set_index("estimator")["reason"]["rloo:n=4"].endswith("more than the budget")
    assert list(many.frame().set_index("estimator").loc[["reinforce", "rloo:n=4"], "m"]) == [16, 4]
    free = measure(smooth, LATENT, "straight-through", draws=640, calls=2, differentiation="free").frame()
    assert free["m"][0] == 2


def test_where_nothing_can_be_enumerated_the_bias_is_against_a_mean() -> None:
    """Those columns were empty."""
    found = measure(cubic, WIDE, ["rloo", "disarm", "straight-through", Nothing], draws=32_000)
    table = found.frame().set_index("estimator")
    assert found.reference == "rloo:n=4" and "its own error included" in found.summary()
    assert dict(table["verdict"]) == {
        "rloo": "unbiased",
        "disarm": "unbiased",
        "straight-through": "biased",
        "nothing": "biased",
    }
    assert table["bias_rel"]["nothing"] == pytest.approx(1, abs=0.05) and table["sdb"]["rloo"] > 0


@pytest.mark.parametrize("name", ["gumbel-softmax:tau=.5", "rloo:n=2", "leave-one-out"])
def test_one_name_stays_as_it_was_written(name: str) -> None:
    assert list(table(name)["estimator"]) == [name]


def test_a_word_leaves_out_what_does_not_apply_and_a_name_does_not() -> None:
    found = measure(smooth, LATENT, ["car*", "rloo"], draws=640)
    assert list(found.frame()["estimator"]) == ["rloo"] and found.left_out == 1
    assert "1 of the estimators asked for does not apply" in found.summary()
    with pytest.raises(UsageError, match="none of the 1 estimators asked for applies"):
        measure(smooth, LATENT, "car*", draws=640)


def test_it_shows_itself_in_a_terminal_a_notebook_and_a_plot() -> None:
    from matplotlib.figure import Figure

    found = measure(cubic, LATENT, ["rloo", "reinforce"], draws=6400)
    assert repr(found).startswith("reinforce leaves the least error") and "relative bias" in repr(found)
    page = found._repr_html_()
    assert page.count("<tr>") == 3 and page.index("leaves the least error") < page.index("<table")
    axes = Figure().add_subplot()
    assert found.plot(ax=axes) is axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["reinforce", "rloo"]


def test_a_bar_on_a_terminal_only() -> None:
    import io

    from dvae_bench.bench.advice.progress import progress_bar
    from rich.console import Console

    for terminal in (True, False):
        out = io.StringIO()
        with progress_bar(Console(file=out, force_terminal=terminal, width=80)) as show:
            show(0.5, "rloo")
        assert ("rloo" in out.getvalue()) is terminal
