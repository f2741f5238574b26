"""Kurtosis, error, signal-to-noise and direction of draws, and the bias against a reference that is itself noisy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.bench.statistics import intervals as st
from dvae_bench.bench.statistics.moments import Accumulator, Moments


def moments_of(draws: np.ndarray, direction: np.ndarray | None = None, blocks: int = 64, chunk: int = 50) -> Moments:
    rows = len(draws) // blocks
    unit = None if direction is None else torch.tensor(direction / np.linalg.norm(direction), dtype=torch.float32)
    accumulator = Accumulator(blocks, rows, unit)
    for start in range(0, len(draws), chunk):
        accumulator.add(torch.tensor(draws[start : start + chunk], dtype=torch.float32))
    return accumulator.finish()


@pytest.mark.parametrize(("name", "kurtosis"), [("normal", 3.0), ("uniform", 1.8), ("laplace", 6.0)])
def test_the_kurtosis_is_that_of_the_distribution(rng: np.random.Generator, name: str, kurtosis: float) -> None:
    draws = getattr(rng, name)(size=(64 * 2000, 1))
    assert moments_of(draws).kurtosis == pytest.approx(kurtosis, rel=0.05)


def test_a_single_draw_that_holds_it_all_is_heavy_tailed(rng: np.random.Generator) -> None:
    draws = rng.normal(size=(6400, 3))
    assert not st.heavy_tailed(moments_of(draws))
    draws[17] = 1000
    assert moments_of(draws).peak > 0.9 and st.heavy_tailed(moments_of(draws))


@pytest.mark.parametrize(("p", "always"), [(0.5, True), (0.3, False)])
def test_the_interval_of_the_variance_is_too_wide_for_two_equal_points(
    rng: np.random.Generator, p: float, always: bool
) -> None:
    """As docs/statistics.md states: all of 200 intervals cover p (1 - p) at p = ½, where 95 % are 190."""
    intervals = [st.total_variance(moments_of(rng.random((1600, 1)) < p, blocks=16, chunk=100)) for _ in range(200)]
    assert all(each.lo <= p * (1 - p) <= each.hi for each in intervals) is always


def test_error_signal_and_direction_are_those_of_plain_numpy(rng: np.random.Generator) -> None:
    exact = np.array([1.0, -2.0, 0.5, 0.0])
    draws = exact + np.array([0.1, 0.0, 0.0, 0.0]) + rng.normal(size=(64 * 500, 4)) * np.array([1.0, 2.0, 0.5, 3.0])
    moments = moments_of(draws, exact)
    errors = ((draws - exact) ** 2).sum(1)
    mse = st.mean_squared_error(moments, exact)
    assert mse.lo < errors.mean() < mse.hi and mse.value == pytest.approx(errors.mean(), rel=1e-2)
    ratios, kept = st.signal_to_noise(moments)
    np.testing.assert_allclose(ratios, np.abs(draws.mean(0)) / draws.std(0, ddof=1), rtol=1e-4)
    assert kept == 1
    direction = exact / np.linalg.norm(exact)
    along = draws @ direction
    cosine = along / np.linalg.norm(draws, axis=1)
    across = np.linalg.norm(draws - np.outer(along, direction), axis=1)
    assert moments.cosine == pytest.approx((cosine.mean(), cosine.std() / len(draws) ** 0.5), rel=1e-3)
    assert moments.directional_snr[0] == pytest.approx((np.abs(along) / across).mean(), rel=1e-3)
    assert st.cosine_of_mean(moments, exact) == pytest.approx(draws.mean(0) @ direction / np.linalg.norm(draws.mean(0)))


def test_coordinates_that_do_not_vary_are_left_out_of_the_signal_to_noise(rng: np.random.Generator) -> None:
    draws = np.column_stack([rng.normal(size=6400), np.full(6400, 2.0)])
    ratios, kept = st.signal_to_noise(moments_of(draws))
    assert len(ratios) == 1 and kept == 0.5


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_the_bias_against_a_noisy_reference_is_covered(rng: np.random.Generator, bias: float) -> None:
    """Coverage of the 95 % interval over 400 runs is at least 90 %, and noise is not taken for bias."""
    mean = rng.normal(size=40)
    truth = mean * (1 + bias)
    covered, values = 0, []
    for _ in range(400):
        draws, reference = truth + rng.normal(size=(32, 40)), mean + rng.normal(size=(64, 40))
        figure = st.relative_bias_between(draws, reference)
        covered += figure.lo <= bias <= figure.hi
        values.append(figure.value)
    assert covered >= 0.9 * 400
    assert np.median(values) < (0.1 if bias == 0 else 0.36)


def test_the_bias_against_a_reference_of_zeros_is_unknown(rng: np.random.Generator) -> None:
    figure = st.relative_bias_between(rng.normal(size=(3, 5)), np.zeros((16, 5)))
    assert np.isnan([figure.value, figure.se, figure.lo, figure.hi]).all()
