"""What trainings reached, the recommendation that follows them, and whether gradient metrics predict them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvae_bench.bench.ranking.candidate import Candidate
from dvae_bench.bench.ranking.correlation import correlations, rank_correlation, reference, sentences, table
from dvae_bench.bench.ranking.ranking import Ranking, rank
from dvae_bench.bench.ranking.recommend import best_trained, recommend
from dvae_bench.bench.ranking.trained import at_seconds, at_steps
from dvae_bench.bench.statistics.products import Products
from dvae_bench.bench.statistics.seeds import seed_floor
from dvae_bench.bench.store.store import Store
from scipy import stats

STORED = Path(__file__).resolve().parents[2] / "results" / "reference" / "mnist-bernoulli"
IDENTITY = {"task": "vae", "data": "digits", "device": "cpu", "source": "steps", "group": "", "reason": ""}


def training(
    name: str, elbos: list[float], seed: int = 0, seconds: float = 1.0, metrics: dict[str, float] | None = None
) -> list[dict[str, object]]:
    """The rows of one training: an ELBO every 100 steps, each of which takes so many seconds."""
    rows: list[dict[str, object]] = []

    def add(metric: str, step: int, value: float) -> None:
        measured = {"metric": metric, "step": step, "value": value, "se": 0.5, "status": "ok"}
        rows.append(IDENTITY | {"estimator": name, "seed": seed} | measured)

    for k, elbo in enumerate(elbos, 1):
        add("elbo_test", 100 * k, elbo)
        add("seconds", 100 * k, seconds * k)
        for metric, value in (metrics or {}).items():
            add(metric, 100 * k, value)
    return rows


def failure(name: str, status: str, seed: int = 0) -> dict[str, object]:
    outcome = {"metric": "", "step": 0, "value": math.nan, "se": math.nan, "status": status, "reason": "why"}
    return IDENTITY | {"estimator": name, "seed": seed} | outcome


def trainings(seeds: int = 3, **gains: float) -> list[dict[str, object]]:
    """Each estimator ends at -100 plus its gain, plus noise of sd .3 of its own and 2 shared by all of a seed."""
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        shared = 2 * rng.standard_normal()
        for name, gain in gains.items():
            end = -100 + gain + shared + 0.3 * rng.standard_normal()
            rows += training(name, [end - 40, end], seed)
    return rows


def test_seeds_are_paired() -> None:
    found = at_steps(pd.DataFrame(trainings(a=3.0, b=2.9, c=0.0, d=-6.0)))
    assert found.at == "200 steps" and sorted(found.tied) == ["a", "b"]
    assert found.floor < 1  # what all share in a seed, sd 2, does not count
    lead = found.lead("a", "c")
    assert lead.lo < 3 < lead.hi and lead.hi - lead.lo < 2.5
    assert found.table()["group"].tolist() == [1, 1, 2, 3]
    assert (found.table()["seeds"] == 3).all()


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_a_wild_seed_ties_nobody_with_the_best(shift: float) -> None:
    """The ends of `reinforce` and others on 20 Gaussian coordinates: all seeds of it are 120 nats below the best."""
    ends = {
        "pathwise": (-130.8, -130.7, -130.8),
        "rloo": (-141.0, -142.3, -141.2),
        "reinforce-ema": (-180.6, -196.3, -182.5),
        "reinforce": (-250.5, -549.5, -277.5),
        "nvil": (-200.1, -200.1, -200.0),
    }
    rows = [
        row
        for name, found in ends.items()
        for seed, end in enumerate(found)
        for row in training(name, [end + shift], seed)
    ]
    found = at_steps(pd.DataFrame(rows))
    assert ("reinforce" in found.tied) == (shift > 0), "densities of pixels may be above 1, where nats are all there is"
    value, se, _ = found.difference("pathwise", "rloo")
    assert value == pytest.approx(10.73, abs=0.01) and se < 1


def test_the_seed_floor_is_the_noise_of_a_score(rng: np.random.Generator) -> None:
    scores = 5 * rng.standard_normal((200, 1)) + 3 * rng.standard_normal((1, 3)) + 0.7 * rng.standard_normal((200, 3))
    scores[:20] += 100 * rng.standard_normal((20, 3))
    assert seed_floor(scores) == pytest.approx(0.7, rel=0.25)
    assert math.isnan(seed_floor(scores[:, :1])) and math.isnan(seed_floor(scores[:1]))
    scores[100, 0] = math.nan
    assert seed_floor(scores) == pytest.approx(0.7, rel=0.25)


def test_equal_time_and_equal_steps_differ() -> None:
    """The slow one is better after 200 steps, and behind when the fast one has ended."""
    curve = [-200.0, -150.0, -120.0, -110.0]
    rows = pd.DataFrame(training("fast", curve) + training("slow", [x + 5 for x in curve], seconds=4.0))
    assert at_steps(rows, 200).tied == ["slow"]
    timed = at_seconds(rows)
    assert timed.at == "4 s of training" and timed.tied == ["fast"]
    values = timed.table().set_index("estimator")["elbo"]
    assert values["fast"] == -110 and values["slow"] == -195
    between = at_seconds(rows, math.sqrt(2) * 4).table().set_index("estimator")
    assert between.loc["slow", "elbo"] == pytest.approx(-170)  # half-way in log time
    assert math.isnan(between.loc["fast", "elbo"]) and between.loc["fast", "reason"].startswith("no evaluations")


def test_a_training_without_a_time_counts_at_equal_steps_alone() -> None:
    rows = pd.DataFrame([*training("a", [-90.0, -80.0]), *training("a", [-91.0, -81.0], 1)])
    rows = rows[(rows["metric"] != "seconds") | (rows["seed"] == 0)]
    assert at_steps(rows).finishes[0].seeds == 2 and at_seconds(rows).finishes[0].seeds == 1
    assert at_seconds(rows[rows["metric"] != "seconds"]).tied == []


def test_one_seed_has_the_interval_of_its_images() -> None:
    rows = pd.DataFrame(training("a", [-100.0]) + training("b", [-100.5]) + training("c", [-105.0]))
    found = at_steps(rows)
    assert found.tied == ["a", "b"] and math.isnan(found.floor)
    assert found.finishes[0].elbo.hi == pytest.approx(-100 + 0.5 * stats.norm.isf(0.025))


def test_failed_seeds_win_nothing_and_what_does_not_apply_is_left_out() -> None:
    rows = [*trainings(a=0.0, b=9.0), failure("b", "diverged", 2), failure("vq", "unsupported")]
    found = at_steps(pd.DataFrame(rows))
    assert found.tied == ["a"]
    lines = found.table().set_index("estimator")
    assert "vq" not in lines.index and lines.loc["b", "reason"] == "1 seed diverged" and not lines.loc["b", "tied"]
    only = at_steps(pd.DataFrame([failure("b", "diverged")]))
    assert only.tied == [] and at_seconds(pd.DataFrame([failure("b", "diverged")])).tied == []


def test_an_elbo_whose_log_z_is_uncertain_wins_nothing() -> None:
    """The ELBOs have a standard error of .5: a gap of 2 nats is more than 1.96 of it, one of .9 nats is less."""
    ends = {"a": (-100.0, 0.9), "b": (-90.0, -2.0)}
    rows = [row for name, (end, gap) in ends.items() for row in training(name, [end], metrics={"log_z_gap": gap})]
    early = training("a", [-120.0, -100.0])
    early[2:2] = [early[0] | {"metric": "log_z_gap", "value": 9.0}]  # of no account: at the last evaluation it is known
    early += [early[3] | {"metric": "log_z_gap", "value": 0.1}]
    for trained in (rows, [*early, *rows[3:]]):
        found = at_steps(pd.DataFrame(trained))
        assert found.tied == ["a"]
        assert found.table().set_index("estimator").loc["b", "reason"] == "1 seed log Z uncertain"


def test_stored_trainings_are_read() -> None:
    rows = Store(STORED).rows()
    ends, early = at_steps(rows), at_steps(rows, 600)
    assert ends.at == "6000 steps" and ends.tied == ["gumbel-softmax"]
    assert set(early.tied) == {"straight-through", "gumbel-softmax"}
    assert {x.seeds for x in ends.finishes} == {3}


def candidates(**noise: float) -> list[Candidate]:
    """Estimators with these variances, over the squared gradient."""
    exact = np.eye(6)[0]
    normal = np.random.default_rng(0).standard_normal((600, 6))
    found = {name: Products.of_draws(exact + math.sqrt(v / 6) * normal, exact) for name, v in noise.items()}
    return [Candidate(name, products, 1, noise="shared") for name, products in found.items()]


def ranking(**noise: float) -> Ranking:
    return rank(candidates(**noise))


def test_the_recommendation_follows_the_training_and_says_so() -> None:
    trained = at_steps(pd.DataFrame(trainings(noisy=6.0, precise=0.0)))
    by_error = ranking(precise=1.0, noisy=9.0)
    assert by_error.best == "precise"
    found = recommend(by_error, trained)
    assert found.pick == "noisy" and not found.agree
    assert "favours precise, which trained" in found.sentence and "follow the training" in found.sentence
    agreed = recommend(ranking(precise=9.0, noisy=1.0), trained)
    assert agreed.pick == "noisy" and agreed.agree and "favours" not in agreed.sentence


def test_among_what_trained_equally_well_the_error_decides() -> None:
    trained = at_steps(pd.DataFrame(trainings(a=0.0, b=0.05, c=-5.0)))
    assert sorted(trained.tied) == ["a", "b"]
    found = recommend(ranking(a=1.0, b=9.0, c=4.0), trained)
    assert found.pick == "a" and list(found.tied) == ["a", "b"] and found.agree and "b ties with it" in found.sentence


def test_without_a_training_the_error_alone_decides() -> None:
    by_error = ranking(a=1.0, b=9.0)
    found = recommend(by_error)
    assert (found.pick, found.sentence) == ("a", by_error.sentence())
    able = candidates(a=1.0, vimco=9.0)
    of_both = rank([able[0], replace(able[1], objective="bound of 5 samples")])
    elsewhere = at_steps(pd.DataFrame(trainings(vimco=9.0)))  # of another objective: it does not compete
    assert recommend(of_both, elsewhere).pick == "a"
    alone = best_trained(of_both, elsewhere)
    assert alone is not None and list(alone.tied) == ["vimco"] and alone.sentence.startswith("vimco trains best")


def test_rank_correlations_are_those_of_each_seed() -> None:
    """ELBO falls with the variance except for one swap, in two of three seeds."""
    rows: list[dict[str, object]] = []
    for seed in range(3):
        for k in range(5):
            place = {1: 2, 2: 1}.get(k, k) if seed else k
            variance = {"var_cut": float(k)}
            rows += training(f"e{k}", [-100.0 - place], seed, metrics=variance | {"bias_reference": float(-k)})
    found = correlations(pd.DataFrame(rows), steps=(100, 500), floors=(math.inf,)).set_index("metric")
    assert set(found["steps"]) == {100} and set(found["estimators"]) == {5} and set(found["seeds"]) == {3}
    expected = np.array([-1.0, -0.9, -0.9])
    half = stats.t.isf(0.025, 2) * expected.std(ddof=1) / math.sqrt(3)
    line = found.loc["var_cut"]
    assert line["rho"] == pytest.approx(expected.mean())
    assert line["lo"] == -1 and line["hi"] == pytest.approx(expected.mean() + half)
    assert found.loc["bias_reference", "rho"] == pytest.approx(-expected.mean())
    text = table(found.reset_index())
    assert "| `vae` | 100 | 5, all | 3 | -0.93 [-1.00, -0.79] | +0.93" in text
    (words,) = sentences(found.reset_index())
    assert words.startswith("vae after 100 steps, 5 estimators, 3 seeds")
    assert "var_cut -0.93 [-1.00, -0.79], bias" in words


def test_only_estimators_near_the_best_count_within_floors() -> None:
    """Far from the best, ELBO and variance agree; among the five near it, they do not."""
    rows: list[dict[str, object]] = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        for k in range(10):
            far = 50.0 * (k - 4) if k > 4 else 0.2 * (4 - k)
            rows += training(f"e{k}", [-100 - far + 0.3 * rng.standard_normal()], seed, metrics={"var_cut": 1.0 + k})
    found = correlations(pd.DataFrame(rows), steps=(100,)).set_index("floors")
    assert found.loc[math.inf, "estimators"] == 10 and found.loc[5.0, "estimators"] == 5
    assert found.loc[math.inf, "rho"] < -0.4 and found.loc[5.0, "rho"] > 0.3


def test_the_correlations_of_the_page_are_those_of_the_stored_trainings() -> None:
    stored = Path(__file__).parents[2] / "results" / "reference" / "which" / "trainings.csv"
    rows = pd.read_csv(stored, keep_default_na=False, na_values={"value": [""]})
    found = correlations(rows[rows["task"].isin(reference()["task"])])
    pd.testing.assert_frame_equal(reference(), found, rtol=1e-3)


def test_too_few_estimators_give_no_correlation() -> None:
    rows = [row for k in range(3) for row in training(f"e{k}", [-float(k)], metrics={"var_cut": float(k)})]
    assert correlations(pd.DataFrame(rows), steps=(100,)).empty
    elbo = pd.DataFrame({0: [1.0, 2.0, 3.0, 4.0]}, index=list("abcd"))
    rho, seeds, count = rank_correlation(elbo, elbo)
    assert (rho.value, seeds, count) == (pytest.approx(1), 1, 4) and math.isnan(rho.lo)
