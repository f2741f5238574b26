"""The ranking: its products without noise bias, the error that is left, ties, budgets, and how often it errs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dvae_bench.bench.calibration import problems as problems_module
from dvae_bench.bench.calibration import ranking as calibration
from dvae_bench.bench.calibration.problems import CANDIDATES, Problem
from dvae_bench.bench.calibration.ranking import CLEARLY, Truth, judge, rates
from dvae_bench.bench.collectors.bias import Bias
from dvae_bench.bench.collectors.evaluations import Evaluations
from dvae_bench.bench.collectors.products import InnerProducts
from dvae_bench.bench.collectors.variance import Variance
from dvae_bench.bench.ranking import ranking as ranking_module
from dvae_bench.bench.ranking.budget import Budget
from dvae_bench.bench.ranking.candidate import Candidate
from dvae_bench.bench.ranking.error import scale, squared_error
from dvae_bench.bench.ranking.ranking import NO_BETTER, rank
from dvae_bench.bench.ranking.stored import candidates, objective
from dvae_bench.bench.sources import DRAWS as SOURCE
from dvae_bench.bench.sources.build import build_layers, build_task
from dvae_bench.bench.sources.draws.draws import draw_gradients
from dvae_bench.bench.statistics import products as products_module
from dvae_bench.bench.statistics.moments import Accumulator
from dvae_bench.bench.statistics.products import Products
from dvae_bench.estimators.names import UsageError
from tiny import TINY, grid

ROOT = Path(__file__).resolve().parents[2]
DRAWS = 400


def brute_force(draws: np.ndarray, reference: np.ndarray, known: bool) -> list[float]:
    """The five products by their definitions: means over pairs of different draws."""
    n, m = len(draws), len(reference)
    across, own = draws @ reference.T, draws @ draws.T
    pairs = list(itertools.permutations(range(n), 2))
    columns = [(0, 0)] if known else list(itertools.permutations(range(m), 2))
    return [
        float(across.mean()),
        float(np.mean([across[i, k] * across[j, h] for i, j in pairs for k, h in columns])),
        float(np.mean([reference[k] @ reference[h] for k, h in columns])),
        float(np.mean([own[i, j] for i, j in pairs])),
        float(draws.var(0, ddof=1).sum()),
    ]


def stacked(products: Products) -> np.ndarray:
    """[1 + blocks + R, 5]"""
    parts = (products.along, products.along_squared, products.gradient, products.mean, products.variance)
    return np.stack(parts, 1)


@pytest.mark.parametrize("known", [True, False])
def test_products_are_means_over_pairs_of_different_draws(rng: np.random.Generator, known: bool) -> None:
    draws, reference = rng.normal(1, 1, (6, 3)), rng.normal(1, 1, (1 if known else 5, 3))
    found = Products.of_draws(draws, **({"exact": reference[0]} if known else {"reference": reference}))
    expected = [brute_force(draws, reference, known)]
    expected += [brute_force(np.delete(draws, i, 0), reference, known) for i in range(6)]
    expected += [] if known else [brute_force(draws, np.delete(reference, k, 0), known) for k in range(5)]
    np.testing.assert_allclose(stacked(found), expected, rtol=1e-10, atol=1e-12)


def test_products_of_draws_moments_and_blocks_agree(rng: np.random.Generator) -> None:
    exact = np.array([1.0, -2.0, 0.5])
    draws = (exact + rng.normal(size=(64 * 20, 3))).astype(np.float32)
    direct = Products.of_draws(draws, exact)
    accumulator = Accumulator(64, 20)
    for block in torch.from_numpy(draws).split(20):
        accumulator.add(block)
    moments = Products.of_moments(accumulator.finish(), exact)
    rebuilt = Products.of_blocks(
        direct.n, *(direct.per_block(part) for part in (direct.along, direct.mean, direct.variance)), 5.25
    )
    np.testing.assert_allclose(stacked(moments), stacked(direct), rtol=1e-5)
    np.testing.assert_allclose(stacked(rebuilt), stacked(direct), rtol=1e-9)


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="draw at least 4"):
        Products.of_draws(np.ones((3, 2)), np.ones(2))


@pytest.mark.parametrize("draws", [1, 4])
def test_the_error_is_that_after_the_best_constant(rng: np.random.Generator, draws: int) -> None:
    """Against the constant that minimises the error of very many means of `draws` gradients."""
    exact, mean = np.array([1.0, -1.0, 2.0]), np.array([0.5, -1.5, 2.0])
    gradients = mean + 3 * rng.normal(size=(200_000, 3))
    means = gradients.reshape(-1, draws, 3).mean(1)
    best = (means @ exact).mean() / (means**2).sum(1).mean()
    left = ((best * means - exact) ** 2).sum(1) / (exact @ exact)
    products = Products.of_draws(gradients, exact)
    found = products.quantity(squared_error(products, draws))
    assert abs(found.value - left.mean()) < 4 * left.std() / math.sqrt(len(left))
    assert found.lo < 1 - (mean @ exact) ** 2 / (exact @ exact * (mean @ mean + 27 / draws)) < found.hi
    scaled = Products.of_draws(2 * gradients, exact)
    assert squared_error(scaled, draws)[0] == pytest.approx(found.value, rel=1e-12)
    assert scale(scaled)[0] == pytest.approx(2 * scale(products)[0])


def test_a_budget_affords_whole_draws() -> None:
    rloo, straight = Candidate("rloo", products(), 2, seconds=1e-3), Candidate("straight-through", products(), 1, 1)
    counts, free = Budget(), Budget(differentiation="free")
    assert [budget.draws(c.cost(budget)) for budget in (counts, free) for c in (rloo, straight)] == [1, 1, 1, 2]
    assert Budget(16).draws(5) == 3 and Budget(1).draws(2) == 0
    assert Budget(seconds=3e-3).draws(rloo.cost(Budget(seconds=3e-3))) == 3
    assert Budget(seconds=1.0).draws(straight.cost(Budget(seconds=1.0))) == 0  # no time was measured
    with pytest.raises(UsageError, match="'counts' or 'free'"):
        Budget(differentiation="sometimes")
    with pytest.raises(UsageError, match="positive"):
        Budget(0)


def products(
    scale: float = 1.0, noise: float = 1.0, across: float = 0.0, seed: int = 0, draws: int = DRAWS, size: int = 8
) -> Products:
    """Of normal draws around scale (∇ + across v), v orthogonal to ∇ and as long; noise: their variance over |∇|²."""
    exact, orthogonal = np.eye(size)[:2]
    normal = np.random.default_rng(seed).standard_normal((draws, size))
    return Products.of_draws(scale * (exact + across * orthogonal) + math.sqrt(noise / size) * normal, exact)


def test_what_is_no_better_than_no_gradient_wins_nothing() -> None:
    nothing = {"zero": products(0, 0), "opposite": products(-1, 0.1), "noise": products(0, 1e-6)}
    found = rank([Candidate("weak", products(0.1, 1), 1), *(Candidate(name, p, 1) for name, p in nothing.items())])
    assert found.groups == [["weak"]] and found.best == "weak"
    table = found.table().set_index("estimator")
    assert (table.loc[list(nothing), "reason"] == NO_BETTER).all() and not table.loc[list(nothing), "tied"].any()
    assert table.loc["opposite", "error"] < table.loc["weak", "error"]  # by the formula alone it would have won
    alone = rank([Candidate("zero", nothing["zero"], 1)])
    assert alone.best is None and alone.tied == [] and alone.sentence().startswith("No estimator is shown")


def test_what_cannot_be_trusted_or_afforded_wins_nothing() -> None:
    dear, doubtful = Candidate("dear", products(noise=0.01), 4), Candidate("doubtful", products(), 1, untrusted="heavy")
    found = rank([dear, doubtful, Candidate("plain", products(noise=4), 2)])
    assert found.groups == [["plain"]]
    reasons = found.table().set_index("estimator")["reason"]
    assert "4 evaluations of f, more than the budget" in reasons["dear"] and reasons["doubtful"] == "heavy"
    assert rank([dear, doubtful], Budget(4)).best == "dear"


def test_the_switch_of_differentiation_decides() -> None:
    entrants = [Candidate("values", products(noise=3), 1), Candidate("derivatives", products(noise=4), 1, 1)]
    assert rank(entrants).best == "values"
    both = rank(entrants, Budget(differentiation="free"))
    assert both.table().set_index("estimator")["m"].tolist() == [2, 2]
    entrants = [Candidate("values", products(noise=4), 1), Candidate("derivatives", products(noise=3), 1, 1)]
    assert rank(entrants).best == "values" and rank(entrants, Budget(differentiation="free")).best == "derivatives"
    assert "differentiation free" in rank(entrants, Budget(differentiation="free")).sentence()
    assert "differentiations included" in rank(entrants).sentence()


def test_objectives_are_ranked_among_themselves() -> None:
    bound = "bound of 5 samples"
    found = rank([Candidate("rloo", products(noise=9), 1), Candidate("vimco", products(), 1, objective=bound)])
    assert found.groups == [["rloo"]] and found.among(bound) == [["vimco"]]
    assert found.table()["objective"].tolist() == ["E f", bound]
    assert objective("vimco", "bound") == bound and objective("vimco:n=2", "bound") == "bound of 2 samples"
    assert objective("unknown-plugin", "bound") == "bound" and objective("rloo", "discrete") == "E f"
    assert objective("sparsemax", "other-law") not in ("E f", bound)


def test_equal_estimators_tie_and_different_ones_do_not() -> None:
    same = [Candidate(str(seed), products(noise=2, seed=seed), 1) for seed in range(4)]
    worse = Candidate("worse", products(noise=8, seed=9), 1)
    found = rank([*same, worse])
    assert sorted(found.groups[0]) == ["0", "1", "2", "3"] and found.groups[1:] == [["worse"]]
    assert "Too close to call" in found.sentence() and "more draws would settle it" in found.sentence()
    first, other = (x.more_draws for x in found.lines[:2])
    assert first == 0 and other > 0


def test_shared_random_numbers_make_differences_clear() -> None:
    """Twice the same noise, 3 % larger in one: clear when paired block by block, a tie otherwise."""
    one, two = products(noise=2.0), products(noise=2.06)
    assert rank([Candidate("one", one, 1), Candidate("two", two, 1)]).groups == [["one", "two"]]
    paired = rank([Candidate("one", one, 1, noise="a"), Candidate("two", two, 1, noise="a")])
    assert paired.groups == [["one"], ["two"]]
    more = products(noise=2.06, draws=2 * DRAWS)  # another n: nothing to pair
    assert len(rank([Candidate("one", one, 1, noise="a"), Candidate("two", more, 1, noise="a")]).groups) == 1


def test_an_estimator_without_noise_ties_with_one_that_differs_by_rounding_only() -> None:
    exact = np.array([1.0, 2.0])
    candidates = [Candidate(str(e), Products.of_draws(np.tile(exact + e, (8, 1)), exact), 1) for e in (0.0, 3e-7, 1e-2)]
    assert rank(candidates).groups == [["0.0", "3e-07"], ["0.01"]]


def test_candidates_come_back_from_stored_rows(rng: np.random.Generator) -> None:
    """From a run's rows: the same error as from the draws behind them, costs, noise and objective."""
    rows = measured_rows("rloo", "straight-through", "exact", "naive-reparameterisation", "vimco:n=3")
    found = {c.name: c for c in candidates(rows)}
    assert set(found) == set(rows["estimator"])
    assert found["straight-through"].evaluations == found["straight-through"].differentiations == 1
    assert found["vimco:n=3"].objective == "bound of 3 samples"
    assert found["rloo"].shares_noise(found["straight-through"])
    line = rows[(rows["estimator"] == "rloo") & (rows["group"] == "cut")].set_index("metric")
    variance, kept = line.loc["var_total", "value"], found["rloo"].products
    assert kept.variance[0] == pytest.approx(variance, rel=0.1) and kept.n == line.loc["var_total", "n"]
    assert kept.along[0] == pytest.approx(line.loc["along", "value"]) and math.isnan(found["rloo"].seconds)
    result = rank(found.values(), Budget(64))
    assert result.best == "exact" and result.table().set_index("estimator").loc["exact", "error"] < 1e-5
    assert result.table().set_index("estimator").loc["naive-reparameterisation", "reason"] == NO_BETTER
    two = pd.concat([rows, measured_rows("rloo", seed=1)])
    both = {c.name: c for c in candidates(two)}["rloo"]
    assert both.products.n == 2 * kept.n and both.products.blocks == 2 * kept.blocks
    assert not both.shares_noise({c.name: c for c in candidates(two)}["straight-through"])
    assert candidates(rows[rows["collector"] != "products"]) == []


def measured_rows(*names: str, seed: int = 0) -> pd.DataFrame:
    """Rows as a run would store them, of draws on three bits."""
    rows = []
    for cell in grid(*names, tasks="bit-table:d=3", sources="draws"):
        task = build_task(cell)
        draws = draw_gradients(build_layers(cell, task), task, TINY.settings[SOURCE], seed)
        for collector in (Bias(), Variance(), Evaluations(), InnerProducts()):
            identity = {"estimator": str(cell.estimator), "seed": seed, "source": "draws", "collector": collector.name}
            rows += [identity | row for row in collector.rows(draws)]
    return pd.DataFrame(rows)


def test_heavy_tails_in_stored_rows_win_nothing() -> None:
    rows = measured_rows("rloo", "disarm")
    rows.loc[(rows["estimator"] == "rloo") & (rows["metric"] == "var_total"), ["status", "reason"]] = ["heavy", "why"]
    found = rank(candidates(rows))
    assert found.groups == [["disarm"]] and found.table().set_index("estimator").loc["rloo", "reason"] == "why"


MANY = dict(size=400, draws=16, spread=0.9, biases=(0.0, 0.0, 0.5, 1.0))
"""Few draws in many coordinates, as on a VAE's minibatch: the noise of the mean is as large as the mean."""
CLOSE = dict(size=5, draws=256, spread=0.1, biases=(0.0, 0.1))
"""Six estimators that are nearly as good as each other."""
RUNS, M = 60, 16


def known_products(along: float, gradient: float, mean: float, variance: float) -> Products:
    parts = (along, along**2, gradient, mean, variance)
    return Products(2, 2, *(np.full(3, part) for part in parts))


def normal_problem(seed: int, size: int, draws: int, spread: float, biases: Sequence[float]) -> dict[str, object]:
    """Six estimators with normal draws, half of them from the same random numbers; judged against their true errors."""
    rng = np.random.default_rng(seed)
    gradient, shared = rng.standard_normal(size), rng.standard_normal((draws, size))
    square, noise = gradient @ gradient, rng.uniform(5, 16)
    measured, true = [], []
    for k in range(6):
        across = rng.standard_normal(size)
        across -= across @ gradient / square * gradient
        across *= math.sqrt(square) / np.linalg.norm(across)
        mean = rng.uniform(0.7, 1.3) * (gradient + rng.choice(biases) * across)
        variance = noise * square * rng.uniform(1 - spread, 1 + spread)
        normal = shared if k % 2 else rng.standard_normal((draws, size))
        found = Products.of_draws(mean + math.sqrt(variance / size) * normal, gradient)
        measured.append(Candidate(str(k), found, 1, noise="shared" if k % 2 else ""))
        true.append(Candidate(str(k), known_products(mean @ gradient, square, mean @ mean, variance), 1))
    return judge(rank(measured, Budget(M)), Truth.of(true, Budget(M))) | {"n": draws, "gradient": "exact"}


def shares(**problem: object) -> dict[str, float]:
    rows = pd.DataFrame([normal_problem(seed, **problem) for seed in range(RUNS)])  # type: ignore[arg-type]
    return {x["quantity"]: x["hits"] / max(1, x["runs"]) for x in rates(rows).to_dict("records")}


@pytest.mark.parametrize("problem", [MANY, CLOSE], ids=["many", "close"])
def test_the_ranking_is_calibrated(problem: dict[str, object]) -> None:
    found = shares(**problem)
    assert found["pick"] >= 0.95 and found["best_tied"] >= 0.95
    assert found["false_winner"] <= 0.05 and found["covered"] >= 0.93


def test_calibration_fails_without_the_noise_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    def squared_mean(means: np.ndarray) -> np.ndarray:
        without = (means.sum(0) - means) / (len(means) - 1)
        return np.append((means.mean(0) ** 2).sum(), (without**2).sum(1))

    monkeypatch.setattr(products_module, "_squared_mean", squared_mean)
    monkeypatch.setattr(
        products_module, "_pairs", lambda across, known: products_module._without_each(across, known) ** 2
    )
    assert shares(**MANY)["covered"] < 0.1


def test_calibration_fails_without_the_intervals_of_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = ranking_module._difference
    monkeypatch.setattr(ranking_module, "_difference", lambda a, b: (difference(a, b)[0], 0.0, difference(a, b)[2]))
    found = shares(**CLOSE)
    assert found["false_winner"] > 0.1 and found["best_tied"] < 0.9


def test_random_problems_are_judged_by_their_true_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calibration of `make calibrate` in small: bits and classes, the exact gradient known and estimated."""
    monkeypatch.setattr(problems_module, "CHUNK", 1000)
    monkeypatch.setattr(calibration, "CONDITIONS", ((1000, calibration.EXACT), (1000, calibration.ESTIMATED)))
    rows = pd.DataFrame(calibration.calibrate((0, 3), 10_000, say=lambda text: None))
    assert len(rows) == 4 and set(rows["kind"]) == {"bits", "classes"} and rows["budget"].nunique() > 1
    assert (rows["pick"] <= CLEARLY).all() and not rows["false_winner"].any()
    assert rows["covered"].sum() >= 0.85 * rows["intervals"].sum()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_problem_knows_its_exact_gradient(seed: int) -> None:
    problem = Problem.random(seed)
    draws = problem.first("rloo:n=4", "test", 20_000)
    error = draws.mean(0) - problem.exact
    assert (error**2).sum() < 3 * draws.var(0).sum() / len(draws)
    assert set(CANDIDATES) == {"bits", "classes"} and problem.kind in CANDIDATES


def test_the_stored_calibration_meets_its_target_and_is_what_the_documents_state() -> None:
    rows = pd.read_csv(ROOT / "results" / "reference" / "calibration-ranking.csv")
    found = calibration.rates(rows)
    assert rows["problem"].nunique() == calibration.PROBLEMS
    picks = found[(found["quantity"] == "pick") & (found["n"] >= 4096)]
    assert len(picks) == 3 and (picks["hits"] >= 0.95 * picks["runs"]).all()
    assert calibration.table(rows) in (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_candidates_compared_together_differ_as_pair_by_pair() -> None:
    """To the bit, whether or not they share their random numbers."""
    kinds = [(noise, seed, shared) for noise in (1, 3) for seed in range(3) for shared in ("same", "")]
    able = [Candidate(str(k), products(noise=n, seed=s), 1, noise=shared) for k, (n, s, shared) in enumerate(kinds)]
    entrants = [ranking_module._Entrant.of(candidate, Budget()) for candidate in able]
    for first in entrants:
        together = ranking_module._differences(first, entrants)
        assert together == [ranking_module._difference(first, other) for other in entrants]
