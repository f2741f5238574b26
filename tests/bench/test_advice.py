"""`advise`: the pick is the best by true errors and by training, ties are named, and nothing that fails is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from dvae_bench import Bernoulli, Categorical, Estimate, Estimator, LatentSpec, UsageError, advise, estimator, measure
from dvae_bench.bench.advice.advise import CAVEAT
from dvae_bench.bench.advice.candidates import entrants
from dvae_bench.bench.advice.given import Given
from dvae_bench.bench.advice.judged import judged
from dvae_bench.bench.advice.training_race import Training, _first_rung
from dvae_bench.bench.ranking.budget import Budget
from torch import Tensor, nn

LATENT = Bernoulli(torch.tensor([0.3, -1.0, 0.8, 0.2]))
BITS_16 = Bernoulli(torch.linspace(-1, 1, 16))
FEW = ["reinforce", "rloo", "disarm", "naive-reparameterisation"]


def smooth(z: Tensor) -> Tensor:
    """Cubic in the sum, so that no estimator is exact."""
    return (z.sum(-1) - 1.3) ** 3 + (z * torch.linspace(0.5, 2, z.shape[-1])).sum(-1)


def step(z: Tensor) -> Tensor:
    return (z > 0.5).to(z.dtype).sum(-1) ** 2


class Failing(Estimator):
    name = "failing"
    latents = ("bernoulli",)
    cost = "1 evaluation"
    reference = "a test"

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        raise ZeroDivisionError("no luck")


class Zero(Failing):
    """A gradient of nothing, without any variance."""

    name = "zero"

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        return Estimate(f(draw).mean(0), torch.zeros_like(latent.params))


class Backwards(Failing):
    """Minus the gradient: a negative constant would make it a good one."""

    name = "backwards"

    def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
        found = estimator("exact", latent.spec).eval().estimate(f, latent)
        assert found.grad is not None
        return Estimate(f(draw).mean(0), -found.grad)


class TestByError:
    def test_the_pick_has_the_least_error_and_the_rest_dropped_out(self) -> None:
        found = advise(smooth, LATENT, seconds=600, estimators=FEW)
        numbers = found.frame().set_index("estimator")
        assert found.pick == numbers["error"].idxmin() and not found.ties
        assert numbers["group"].drop("naive-reparameterisation").is_monotonic_increasing
        assert found.sentence.startswith(f"{found.pick} leaves the least error") and found.note == CAVEAT

    def test_the_same_estimator_twice_is_too_close_to_call(self) -> None:
        found = advise(smooth, LATENT, seconds=1, estimators=["disarm", estimator("disarm", LATENT.spec)])
        assert {found.pick, *found.ties} == {"disarm", "disarm (2)"} and "Too close to call" in found.sentence

    @pytest.mark.parametrize("wrong", [Zero, Backwards])
    def test_no_gradient_and_a_backward_one_win_nothing(self, wrong: type[Estimator]) -> None:
        found = advise(smooth, LATENT, seconds=600, calls=1, estimators=[wrong, "reinforce"])
        assert found.pick == "reinforce" and not found.ties
        alone = advise(smooth, LATENT, seconds=1, estimators=[wrong])
        assert alone.pick is None and not alone.code and "No estimator is shown to be better" in alone.sentence

    def test_without_enumeration_the_bias_is_against_a_mean_with_its_own_error(self) -> None:
        found = advise(smooth, BITS_16, seconds=600, estimators=["rloo", "disarm", "straight-through"])
        scale = found.frame().set_index("estimator")["scale_bias"]
        assert "long mean of rloo:n=4, its own error included" in found.note
        assert scale[["rloo", "disarm"]].abs().lt(0.2).all() and found.pick == "straight-through"

    def test_one_that_fails_is_a_line_and_all_raise(self) -> None:
        found = advise(smooth, LATENT, seconds=1, estimators=["rloo", Failing])
        assert found.pick == "rloo"
        assert found.frame().set_index("estimator")["reason"]["failing"] == "ZeroDivisionError: no luck"
        with pytest.raises(ZeroDivisionError):
            advise(smooth, LATENT, seconds=1, estimators=Failing)

    @pytest.mark.parametrize("name", ["disarm", "rebar", "straight-through"])
    @pytest.mark.parametrize("calls", [6, 16])
    def test_the_lines_to_paste_run(self, name: str, calls: int) -> None:
        latent = Bernoulli(LATENT.params.clone().requires_grad_())
        found = advise(smooth, latent, calls=calls, seconds=0.1, estimators=name)
        names = {"latent": latent, "f": smooth}
        exec("from dvae_bench import Tuner, estimator\n" + found.code, names)
        names["loss"].backward()  # type: ignore[attr-defined]
        assert latent.params.grad is not None and latent.params.grad.any()

    def test_the_answer_shows_itself(self) -> None:
        found = advise(smooth, LATENT, seconds=1, estimators=FEW)
        assert repr(found).startswith(found.sentence) and found.code in repr(found)
        page = found._repr_html_()
        assert page.count("<tr>") == 1 + len(FEW) and "<th scope" in page


class TestCandidates:
    def names(self, f: Any, **budget: Any) -> set[str]:
        return {entrant.name for entrant in entrants(None, Given(f, LATENT), Budget(**budget))}

    def test_they_apply_and_are_affordable(self) -> None:
        two, sixteen = self.names(smooth), self.names(smooth, evaluations=16)
        assert {"rloo", "disarm", "straight-through"} <= two and not {"carms:n=2", "vimco", "exact", "rebar"} & two
        assert {"exact", "rebar", "rloo:n=16"} <= sixteen and two < sixteen
        assert "rebar" in self.names(smooth, evaluations=3, differentiation="free")
        assert "straight-through" not in self.names(step)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"seconds": 0}, "positive number of seconds"),
            ({"calls": 0}, "budget must be positive"),
            ({"differentiation": "cheap"}, "'counts' or 'free'"),
            ({"estimators": "exact"}, "give more calls"),
            ({"estimators": "rlooo"}, "unknown estimator"),
        ],
    )
    def test_bad_input_is_one_sentence(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            advise(smooth, LATENT, **arguments)


def trainer(lr: float = 1.0, bits: int = 6) -> Callable[[Estimator], Callable[[], Tensor]]:
    """Trains logits of `bits` bits, from a random start, towards the minimum of a cubic f."""

    def train(chosen: Estimator) -> Callable[[], Tensor]:
        logits = nn.Parameter(torch.randn(bits))
        optimizer = torch.optim.SGD([logits], lr)

        def one_step() -> Tensor:
            loss = chosen(smooth, Bernoulli(logits.expand(256, bits))).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return one_step

    return train


class TestByTraining:
    def test_the_estimator_that_trains_wins(self) -> None:
        """The zero gradient trains nothing, and says so; nothing is said of what gradient statistics decide."""
        latent = Bernoulli(torch.zeros(6))
        found = advise(smooth, latent, seconds=0.5, estimators=["naive-reparameterisation", "disarm"], train=trainer())
        assert found.pick == "disarm" and not found.ties and CAVEAT not in found.note
        numbers = found.frame().set_index("estimator")
        assert (numbers["seeds"] == 3).all() and numbers["seconds_per_step"].gt(0).all()
        assert "trains best: a loss of" in found.sentence and "ms per training step" in found.cost

    def test_more_than_four_are_halved(self) -> None:
        latent = Bernoulli(torch.zeros(6))
        names = ["reinforce", "rloo", "disarm", "arm", "bitflip", "identity-st", "straight-through", "zgr", "darn"]
        found = advise(smooth, latent, seconds=1, estimators=names, train=trainer())
        numbers = found.frame()
        assert set(numbers["estimator"]) == set(names) and sorted(numbers["seeds"])[-4:] == [3] * 4
        first, last = numbers["steps"].min(), numbers["steps"].max()
        assert numbers["steps"].is_monotonic_decreasing and (last, (numbers["steps"] == first).sum()) == (2 * first, 5)

    def test_a_training_that_fails_or_diverges_drops_out(self) -> None:
        latent = Bernoulli(torch.zeros(6))

        class Exploding(Zero):
            name = "exploding"

            def gradient(self, f: Any, latent: Any, draw: Tensor) -> Estimate:
                return Estimate(f(draw).mean(0), torch.full_like(latent.params, float("nan")))

        found = advise(smooth, latent, seconds=0.3, estimators=["disarm", Failing, Exploding], train=trainer())
        numbers = found.frame().set_index("estimator")
        assert found.pick == "disarm" and not found.ties
        assert numbers["reason"]["failing"] == "ZeroDivisionError: no luck"
        assert numbers["loss"]["exploding"] == float("inf")

    def test_a_finalist_that_diverges_at_another_seed_is_a_line(self) -> None:
        seeds = []

        def train(chosen: Estimator) -> Callable[[], Tensor]:
            step = trainer()(chosen)
            seeds.append(torch.initial_seed())
            bad = chosen.name == "rloo" and torch.initial_seed() == 1
            return lambda: step() * float("nan" if bad else 1)

        found = advise(smooth, Bernoulli(torch.zeros(6)), seconds=0.2, estimators=["disarm", "rloo"], train=train)
        assert found.pick == "disarm" and not found.ties and set(seeds) == {0, 1, 2}
        assert "diverged" in found.frame().set_index("estimator")["reason"]["rloo"]

    def test_a_training_goes_on_as_if_it_had_not_stopped(self) -> None:
        task = Given(smooth, Bernoulli(torch.zeros(6)))
        (entrant,) = entrants("rloo", task, Budget())
        whole, parts, other = (Training(entrant, trainer(), task, 0) for _ in range(3))
        torch.manual_seed(5)
        before = torch.get_rng_state()
        once = whole.until(40)
        for steps in (7, 20):
            parts.until(steps)
            other.until(steps + 1)
        assert parts.until(40) == pytest.approx(once, abs=1.0)  # scored at other draws of z
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(whole.state[0], parts.state[0])

    def test_the_first_rung_fits_the_time(self) -> None:
        """16 candidates of 10 ms: s steps of 16, s of 8, 2s of 4, then 4s of 4 at two more seeds."""
        steps = _first_rung(16, 0.16, 60)
        spent = 0.01 * (16 * steps + 8 * steps + 4 * 2 * steps + 4 * 4 * steps * 2)
        assert 50 < spent <= 60


class TestJudged:
    @pytest.mark.parametrize("name", ["gumbel-softmax", "straight-through", "disarm", "rebar"])
    def test_the_value_is_f_at_a_draw_and_the_gradient_stays(self, name: str) -> None:
        chosen = estimator(name, LatentSpec.bernoulli(4)).eval()
        gradients, values = [], []
        for judge in (False, True):
            latent = Bernoulli(LATENT.params.clone().requires_grad_())
            generator = torch.Generator().manual_seed(0)
            if judge:
                with judged(chosen, torch.Generator().manual_seed(1)):
                    loss = chosen(smooth, latent, generator)
            else:
                loss = chosen(smooth, latent, generator)
            loss.sum().backward()
            gradients.append(latent.params.grad)
            values.append(loss.detach())
        torch.testing.assert_close(gradients[0], gradients[1])
        hard = smooth(LATENT.sample(1, torch.Generator().manual_seed(1)))[0]
        torch.testing.assert_close(values[1], hard)
        assert "estimate" not in vars(chosen)

    def test_a_relaxed_value_would_have_won(self) -> None:
        """f is low between the bits: its mean at relaxed z is far below E f, where no training can get."""

        def f(z: Tensor) -> Tensor:
            return -(z * (1 - z)).sum(-1)

        chosen, latent = estimator("gumbel-softmax:tau=1.0", LATENT.spec), Bernoulli(torch.zeros(4))
        assert chosen(f, latent, torch.Generator().manual_seed(0)) < -0.2
        with judged(chosen, torch.Generator().manual_seed(1)):
            assert chosen(f, latent, torch.Generator().manual_seed(0)).abs() < 1e-6


def test_measure_and_advise_agree() -> None:
    names = ["rloo", "straight-through", "reinforce"]
    latent = Categorical(torch.linspace(-1, 1, 24).reshape(8, 3))

    def f(z: Tensor) -> Tensor:
        return (z * torch.linspace(0, 1, 24).reshape(8, 3)).sum((-2, -1)).square()

    assert measure(f, latent, names, draws=6400).best() == advise(f, latent, seconds=600, estimators=names).pick
