"""Streaming moments against plain float64; error rates, power and coverage of the statistics by simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from dvae_bench.bench.statistics import bias_test as ub
from dvae_bench.bench.statistics import intervals as st
from dvae_bench.bench.statistics.moments import Accumulator, Moments
from scipy import stats

BLOCKS, ROWS = 64, 60
QUICK_ROWS = 4000
NULL_RUNS = 2000


def accumulate(draws: np.ndarray, chunk: int, rows: int = ROWS) -> Moments:
    accumulator = Accumulator(len(draws) // rows, rows)
    for block in draws.reshape(-1, rows, draws.shape[1]):
        for start in range(0, rows, chunk):
            accumulator.add(torch.from_numpy(block[start : start + chunk].copy()))
    return accumulator.finish()


def from_blocks(means: np.ndarray, rows: int, variance: np.ndarray | None = None) -> Moments:
    """The moments of blocks x rows draws of which only the block means are known."""
    own = rows * means.var(0, ddof=1) if variance is None else variance
    return Moments(len(means) * rows, means.mean(0), own, means, None)


def draws_around(offset: float, dimensions: int = 7, seed: int = 0) -> np.ndarray:
    scales = np.geomspace(0.1, 10, dimensions)
    normal = np.random.default_rng(seed).standard_normal((BLOCKS * ROWS, dimensions))
    return (scales * (normal + offset)).astype(np.float32)


class TestAccumulator:
    @pytest.mark.parametrize("offset", [0.0, 1e4], ids=["centred", "mean/sd=1e4"])
    @pytest.mark.parametrize("chunk", [1, 7, 30, ROWS])
    def test_moments_agree_with_float64(self, offset: float, chunk: int) -> None:
        draws = draws_around(offset)
        moments, wide = accumulate(draws, chunk), draws.astype(np.float64)
        blocks = wide.reshape(BLOCKS, ROWS, -1)
        sd = wide.std(0)
        assert moments.n == len(draws) and moments.summed == 1
        np.testing.assert_allclose((moments.mean - wide.mean(0)) / sd, 0, atol=1e-6)
        np.testing.assert_allclose((moments.block_means - blocks.mean(1)) / sd, 0, atol=1e-5)
        np.testing.assert_allclose(moments.variance, wide.var(0, ddof=1), rtol=1e-5)
        assert moments.mean.dtype == moments.variance.dtype == moments.block_means.dtype == np.float64

    @pytest.mark.parametrize("offset", [0.0, 1e4], ids=["centred", "mean/sd=1e4"])
    def test_block_spread_is_the_spread_about_the_blocks_mean(self, offset: float) -> None:
        draws = draws_around(offset)
        expected = draws.astype(np.float64).reshape(BLOCKS, ROWS, -1).var(1).sum(1)
        np.testing.assert_allclose(accumulate(draws, ROWS).block_spread, expected, rtol=1e-5)

    @pytest.mark.parametrize("chunk", [1, 7, 30])
    def test_block_spread_does_not_depend_on_the_chunk(self, chunk: int) -> None:
        draws = draws_around(0.0)
        np.testing.assert_allclose(
            accumulate(draws, chunk).block_spread, accumulate(draws, ROWS).block_spread, rtol=1e-5
        )

    def test_add_leaves_the_draws_as_they_were(self) -> None:
        draws = torch.randn(8, 3)
        before = draws.clone()
        Accumulator(2, 8).add(draws)
        assert torch.equal(draws, before)

    def test_add_sum_knows_the_mean_and_the_variance_of_one_draw(self) -> None:
        draws = np.random.default_rng(1).normal(3, 2, (BLOCKS * ROWS, 4)).astype(np.float32)
        accumulator = Accumulator(BLOCKS, ROWS)
        for part in torch.from_numpy(draws).split(20):
            accumulator.add_sum(part.sum(0), len(part))
        moments, means = accumulator.finish(), draws.astype(np.float64).reshape(BLOCKS, ROWS, -1).mean(1)
        np.testing.assert_allclose(moments.mean, draws.mean(0, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(moments.variance, ROWS * means.var(0, ddof=1), rtol=1e-5)
        assert moments.block_spread is None and moments.summed == 20
        assert st.total_variance(moments).lo < 4 * 2.0**2 < st.total_variance(moments).hi

    def test_rms_is_that_of_one_draw(self) -> None:
        draws = draws_around(2.0)
        expected = np.sqrt((draws.astype(np.float64) ** 2).mean(0))
        np.testing.assert_allclose(accumulate(draws, ROWS).rms, expected, rtol=1e-3)

    def test_an_unfinished_accumulator_has_no_moments(self) -> None:
        accumulator = Accumulator(2, 8)
        accumulator.add(torch.randn(8, 3))
        with pytest.raises(AssertionError):
            accumulator.finish()


def light(rng: np.random.Generator) -> tuple[Moments, np.ndarray]:
    """20 independent normal coordinates."""
    return from_blocks(rng.standard_normal((BLOCKS, 20)) / np.sqrt(QUICK_ROWS), QUICK_ROWS), np.zeros(20)


def correlated(rng: np.random.Generator) -> tuple[Moments, np.ndarray]:
    """60 coordinates moved by 4 factors, and a little noise of their own."""
    mixing = np.random.default_rng(7).standard_normal((4, 60))
    means = rng.standard_normal((BLOCKS, 4)) @ mixing + 0.3 * rng.standard_normal((BLOCKS, 60))
    return from_blocks(means / np.sqrt(QUICK_ROWS), QUICK_ROWS), np.zeros(60)


def rare(rng: np.random.Generator) -> tuple[Moments, np.ndarray]:
    """50 events of probability from 1/2 down to one in all 64 x 500 draws."""
    p = np.geomspace(0.5, 1 / (BLOCKS * 500), 50)
    return from_blocks(rng.binomial(500, p, (BLOCKS, 50)) / 500, 500), p


def skewed(rng: np.random.Generator) -> tuple[Moments, np.ndarray]:
    """10 log-normal coordinates, their blocks short."""
    means = rng.lognormal(0, 1, (BLOCKS, 40, 10)).mean(1)
    return from_blocks(means, 40), np.full(10, np.exp(0.5))


class TestBiasPValue:
    @pytest.mark.parametrize(("case", "least"), [(light, 0.3), (correlated, 0.3), (rare, 0.0), (skewed, 0.0)])
    def test_false_alarms_stay_at_the_nominal_rate(
        self, case: Callable[[np.random.Generator], tuple[Moments, np.ndarray]], least: float
    ) -> None:
        rng = np.random.default_rng(2024)
        p = np.array([ub.bias_p_value(*case(rng), f_scale=1.0) for _ in range(NULL_RUNS)])
        for level in (0.05, 0.01):
            alarms = int((p <= level).sum())
            assert alarms <= stats.binom.ppf(0.9999, NULL_RUNS, level), f"{alarms / NULL_RUNS} at {level}"
            assert alarms >= least * level * NULL_RUNS, f"{alarms / NULL_RUNS} at {level} is needlessly timid"

    @pytest.mark.parametrize("case", [light, correlated])
    def test_a_bias_in_a_random_direction_is_seen(
        self, case: Callable[[np.random.Generator], tuple[Moments, np.ndarray]]
    ) -> None:
        rng, direction = np.random.default_rng(5), np.random.default_rng(6)
        found = []
        for _ in range(100):
            moments, exact = case(rng)
            se = np.sqrt(moments.variance / moments.n)
            found.append(ub.bias_p_value(moments, exact + 4 * se * direction.choice([-1, 1], len(se)), 1.0) < 1e-3)
        assert np.mean(found) > 0.95

    def test_one_wrong_coordinate_of_many_is_seen(self) -> None:
        moments, exact = light(np.random.default_rng(3))
        exact[4] += 12 * np.sqrt(moments.variance[4] / moments.n)
        assert ub.bias_p_value(moments, exact, 1.0) < 1e-6

    def test_a_constant_is_right_or_wrong(self) -> None:
        constant = from_blocks(np.full((BLOCKS, 3), [1.0, -2.0, 0.0]), ROWS)
        assert ub.bias_p_value(constant, np.array([1.0, -2.0, 0.0]), 1.0) == 1.0
        assert ub.bias_p_value(constant, np.array([1.0, -2.0 + 1e-3, 0.0]), 1.0) < 1e-12
        assert ub.bias_p_value(constant, np.array([1.0, -2.0, 1e-3]), 1.0) < 1e-12

    def test_a_constant_off_by_rounding_is_right(self) -> None:
        eps = np.finfo(np.float32).eps
        constant = from_blocks(np.full((BLOCKS, 2), [1.0, -2.0]), ROWS)
        assert ub.bias_p_value(constant, np.array([1.0 + 2 * eps, -2.0 - 4 * eps]), 1.0) == 1.0

    def test_a_wrong_constant_among_random_coordinates_is_seen(self) -> None:
        noise = np.random.default_rng(8).standard_normal((BLOCKS, 5)) / np.sqrt(ROWS)
        moments = from_blocks(np.column_stack([noise, np.full(BLOCKS, 0.5)]), ROWS)
        assert ub.bias_p_value(moments, np.array([0, 0, 0, 0, 0, 0.5]), 1.0) > 0.01
        assert ub.bias_p_value(moments, np.array([0, 0, 0, 0, 0, 0.6]), 1.0) < 1e-3

    def test_a_wrong_constant_is_wrong_though_one_block_rounds_differently(self) -> None:
        noise = np.random.default_rng(8).standard_normal((BLOCKS, 5)) / np.sqrt(ROWS)
        constant = np.full(BLOCKS, 0.5)
        constant[7] += np.finfo(np.float32).eps
        moments = from_blocks(np.column_stack([noise, constant]), ROWS)
        assert ub.bias_p_value(moments, np.array([0, 0, 0, 0, 0, 0.6]), 1.0) < 1e-3
        alone = from_blocks(constant[:, None], ROWS)
        assert ub.bias_p_value(alone, np.array([0.6]), 1.0) < 1e-3

    def test_a_handful_of_events_is_not_judged(self) -> None:
        rng = np.random.default_rng(10)
        moments = from_blocks(rng.binomial(500, 5 / (BLOCKS * 500), (BLOCKS, 6)) / 500, 500)
        assert np.isnan(ub.bias_p_value(moments, np.full(6, 5 / (BLOCKS * 500)), 1.0))

    def test_events_never_seen_are_no_bias(self) -> None:
        """An event of probability 1e-5 that moves the exact mean by 1e-5 and came in none of 38,400 draws."""
        rng = np.random.default_rng(9)
        moments = from_blocks(np.column_stack([rng.binomial(600, 0.5, BLOCKS) / 600, np.zeros(BLOCKS)]), 600)
        assert ub.bias_p_value(moments, np.array([0.5, 1e-5]), 1.0) > 0.01


def power_at_detectable_bias(dimensions: int, runs: int) -> float:
    """How often the test at ALPHA sees a gradient scaled by exactly 1 + smallest_detectable_bias."""
    rng = np.random.default_rng(11)
    exact = rng.standard_normal(dimensions)
    found = []
    for _ in range(runs):
        noise = rng.standard_normal((BLOCKS, dimensions)) * np.linalg.norm(exact) / np.sqrt(QUICK_ROWS)
        detectable = ub.smallest_detectable_bias(from_blocks(exact + noise, QUICK_ROWS), exact, 0.0)
        scaled = from_blocks(exact * (1 + detectable) + noise, QUICK_ROWS)
        found.append(ub.bias_p_value(scaled, exact, 0.0) < ub.ALPHA)
    return float(np.mean(found))


class TestSmallestDetectableBias:
    @pytest.mark.parametrize("dimensions", [1, 6, 64])
    def test_it_is_detected_as_often_as_promised(self, dimensions: int) -> None:
        assert power_at_detectable_bias(dimensions, 600) == pytest.approx(ub.POWER, abs=0.035)

    def test_it_shrinks_with_the_root_of_the_number_of_draws(self) -> None:
        exact = np.ones(4)
        noise = np.random.default_rng(0).standard_normal((BLOCKS, 4))
        few = ub.smallest_detectable_bias(from_blocks(exact + noise / 10, 100), exact, 0.0)
        many = ub.smallest_detectable_bias(from_blocks(exact + noise / 100, 10_000), exact, 0.0)
        assert few / many == pytest.approx(10, rel=0.05)

    def test_a_vanishing_gradient_has_none(self) -> None:
        assert np.isnan(ub.smallest_detectable_bias(light(np.random.default_rng(0))[0], np.zeros(20), 1.0))


class TestBiasAnywhere:
    @pytest.mark.parametrize("dimensions", [6, 64])
    def test_it_is_detected_about_as_often_as_promised(self, dimensions: int) -> None:
        """Beyond 4 standard errors of a share of 400, .035 for the union of three tests, of which two are counted."""
        rng, found = np.random.default_rng(dimensions), []
        exact = rng.standard_normal(dimensions)
        for _ in range(400):
            noise = rng.standard_normal((BLOCKS, dimensions)) * np.geomspace(0.01, 0.1, dimensions)
            size = ub.detectable_anywhere(from_blocks(exact + noise, QUICK_ROWS), exact, 0.0) * np.linalg.norm(exact)
            direction = rng.standard_normal(dimensions)
            moved = from_blocks(exact + noise + size * direction / np.linalg.norm(direction), QUICK_ROWS)
            found.append(ub.bias_p_value(moved, exact, 0.0) <= ub.ALPHA)
        assert np.mean(found) == pytest.approx(ub.POWER, abs=4 * np.sqrt(0.05 * 0.95 / 400) + 0.035)

    def test_in_one_coordinate_it_is_the_bias_along_the_gradient(self) -> None:
        moments = from_blocks(1 + np.random.default_rng(0).standard_normal((BLOCKS, 1)), 100)
        assert ub.detectable_anywhere(moments, np.ones(1), 0.0) == ub.smallest_detectable_bias(moments, np.ones(1), 0.0)


class TestBiasedCoordinates:
    def test_biased_coordinates_are_named_strongest_first(self) -> None:
        noise = np.random.default_rng(3).standard_normal((BLOCKS, 200))
        bias = np.zeros(200)
        bias[17], bias[3] = 1.5, -1.2
        moments = from_blocks(noise + bias, 100)
        assert ub.biased_coordinates(moments, np.zeros(200), 0.0).tolist() == [17, 3]

    def test_no_coordinate_is_named_by_chance_more_often_than_alpha(self) -> None:
        rng = np.random.default_rng(4)
        named = [
            len(ub.biased_coordinates(from_blocks(rng.standard_normal((BLOCKS, 20)), 100), np.zeros(20), 0.0))
            for _ in range(2000)
        ]
        assert np.count_nonzero(named) <= stats.binom.ppf(0.9999, 2000, ub.ALPHA)

    def test_all_coordinates_may_be_biased(self) -> None:
        moments = from_blocks(np.random.default_rng(5).standard_normal((BLOCKS, 4)) + 9, 100)
        assert sorted(ub.biased_coordinates(moments, np.zeros(4), 0.0)) == [0, 1, 2, 3]


class TestBiasSize:
    def test_squared_bias_is_unbiased_and_covered(self) -> None:
        rng, bias = np.random.default_rng(12), np.full(8, 0.1)
        figures = [
            st.bias_squared(from_blocks(bias + rng.standard_normal((BLOCKS, 8)) / np.sqrt(ROWS), ROWS), np.zeros(8))
            for _ in range(500)
        ]
        truth, values = bias @ bias, np.array([figure.value for figure in figures])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
        assert np.mean([figure.se for figure in figures]) == pytest.approx(values.std(), rel=0.15)
        assert np.mean([figure.lo <= truth <= figure.hi for figure in figures]) >= 0.9

    def test_the_interval_of_the_norm_reaches_zero_where_there_is_only_noise(self) -> None:
        moments, exact = light(np.random.default_rng(1))
        squared, norm = st.bias_squared(moments, exact), st.bias_norm(moments, exact)
        assert norm.value == np.sqrt(max(0, squared.value))
        assert norm.lo == 0 <= norm.value <= norm.hi

    def test_the_norm_of_a_large_bias_is_covered(self) -> None:
        moments, _ = light(np.random.default_rng(1))
        norm = st.bias_norm(moments, np.full(20, 2.0))
        assert norm.lo < 2 * np.sqrt(20) < norm.hi and norm.value == pytest.approx(2 * np.sqrt(20), rel=0.02)


def normal_draws(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal((n, 5))


def exponential_draws(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.exponential(size=(n, 5))


class TestTotalVariance:
    @pytest.mark.parametrize("summed", [False, True], ids=["apart", "as sums"])
    @pytest.mark.parametrize("draw", [normal_draws, exponential_draws])
    def test_the_interval_covers(self, draw: Callable[[np.random.Generator, int], np.ndarray], summed: bool) -> None:
        rng, covered, runs = np.random.default_rng(13), 0, 400
        for _ in range(runs):
            blocks = draw(rng, BLOCKS * 40).reshape(BLOCKS, 40, 5)
            variance = blocks.reshape(-1, 5).var(0, ddof=1)
            means, spread = blocks.mean(1), blocks.var(1).sum(1)
            moments = from_blocks(means, 40) if summed else Moments(BLOCKS * 40, means.mean(0), variance, means, spread)
            figure = st.total_variance(moments)
            assert figure.lo < figure.value < figure.hi
            covered += figure.lo <= 5 <= figure.hi
        assert covered / runs >= 0.9

    def test_a_constant_has_no_variance(self) -> None:
        assert st.total_variance(from_blocks(np.ones((BLOCKS, 2)), ROWS)) == st.Quantity(0.0, 0.0, 0.0, 0.0)


class TestMedianAndMean:
    @pytest.mark.parametrize("n", [1, 5, 6, 30, 31, 200, 1000])
    def test_the_median_has_order_statistics_as_interval(self, n: int) -> None:
        samples = np.random.default_rng(n).permutation(n).astype(float)
        figure = st.median(samples)
        assert figure.value == (n - 1) / 2
        assert figure.lo + figure.hi == n - 1 and 0 <= figure.lo <= figure.value

    @pytest.mark.parametrize("n", [10, 30, 200])
    def test_the_interval_of_the_median_covers(self, n: int) -> None:
        """P(X_(i) <= median <= X_(n-1-i)), i counted from 0, is 1 - 2 P(Binomial(n, 1/2) <= i)."""
        first = int(st.median(np.arange(n, dtype=float)).lo)
        assert 1 - 2 * stats.binom.cdf(first, n, 0.5) >= 0.95

    def test_the_mean_has_students_interval(self) -> None:
        samples = np.random.default_rng(0).normal(5, 2, 50)
        figure, expected = st.mean(samples), stats.ttest_1samp(samples, 0).confidence_interval(0.95)
        assert (figure.lo, figure.hi) == pytest.approx((expected.low, expected.high))
        assert figure.se == pytest.approx(stats.sem(samples))

    def test_the_mean_of_one_sample_has_no_interval(self) -> None:
        assert st.mean(np.array([3.0])).value == 3.0
        assert np.isnan(st.mean(np.array([3.0])).hi)
