"""Moments of draws that arrive in chunks of any size are those that numpy computes in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_bench.bench.statistics.moments import Accumulator, Moments
from hypothesis import given, settings
from hypothesis import strategies as st

ROUNDING = {np.float32: 2e-6, np.float64: 1e-13}


@pytest.mark.full
@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_any_chunks_have_the_moments_of_the_whole(data: st.DataObject) -> None:
    """About 20 s. Errors are measured against the largest draw, as rounding is."""
    blocks, rows, width = (data.draw(st.integers(least, most)) for least, most in ((2, 6), (1, 40), (1, 5)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    offset, scale = data.draw(st.sampled_from([0, 1, 100])), 10.0 ** data.draw(st.integers(-3, 3))
    draws = (scale * (rng.standard_normal((blocks * rows, width)) + offset)).astype(dtype)
    direction = rng.standard_normal(width)
    direction = (direction / np.linalg.norm(direction)).astype(dtype)

    accumulator = Accumulator(blocks, rows, torch.from_numpy(direction))
    for block in torch.from_numpy(draws.copy()).split(rows):
        while len(block):
            size = data.draw(st.integers(1, len(block)))
            accumulator.add(block[:size])
            block = block[size:]
    same(accumulator.finish(), draws.astype(np.float64), direction.astype(np.float64), blocks, ROUNDING[dtype])


def same(moments: Moments, draws: np.ndarray, direction: np.ndarray, blocks: int, rounding: float) -> None:
    size, apart = np.abs(draws).max(), draws.reshape(blocks, -1, draws.shape[1])
    along = draws @ direction
    cosine = along / np.linalg.norm(draws, axis=1)
    assert moments.n == len(draws)
    np.testing.assert_allclose(moments.mean, draws.mean(0), rtol=0, atol=rounding * size)
    np.testing.assert_allclose(moments.block_means, apart.mean(1), rtol=0, atol=rounding * size)
    np.testing.assert_allclose(moments.variance, draws.var(0, ddof=1), rtol=10 * rounding, atol=rounding * size**2)
    spread = apart.var(1).sum(1)
    np.testing.assert_allclose(moments.block_spread, spread, rtol=10 * rounding, atol=rounding * size**2)
    np.testing.assert_allclose(moments.cosine[0], cosine.mean(), rtol=0, atol=10 * rounding)
