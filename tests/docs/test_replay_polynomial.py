"""Published losses replayed with the authors' random numbers: the generator, and the first epoch of every method."""

from __future__ import annotations

import pandas as pd
import pytest
from dvae_bench.bench import protocols
from dvae_bench.bench.protocols.protocol import Method
from pages import published
from replay_polynomial import CudaStream, noise_of, philox, replay

PROTOCOL = protocols.load("hooper-polynomial")
SETTING = "p=3, epoch 1"


def test_the_words_of_philox_are_those_of_its_authors() -> None:
    """The first known answer of Random123's file of test vectors."""
    assert philox(0, 2, 0)[:, 0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_numbers_beyond_the_threads_are_further_words() -> None:
    many = CudaStream(0).exponential((256 * 216 + 1,))
    assert many[-1] == CudaStream(0).exponential((256 * 217,))[256 * 216] != many[0]
    assert not many[: 256 * 216].equal(CudaStream(1).exponential((256 * 216,)))


@pytest.mark.parametrize("method", PROTOCOL.methods, ids=[method.method for method in PROTOCOL.methods])
def test_the_first_epoch_has_the_published_digits(method: Method) -> None:
    (epoch,) = replay(str(method.estimator), 1, p=3.0)
    assert f"{epoch.loss[0]:.4e}" == f"{method.value(SETTING):.4e}"


def test_other_random_numbers_give_other_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay_polynomial.noise_of", lambda stream: noise_of(CudaStream(1)))
    (epoch,) = replay("straight-through", 1, p=3.0)
    assert f"{epoch.loss[0]:.4e}" != f"{PROTOCOL.methods[0].value(SETTING):.4e}"


def test_every_published_number_is_replayed() -> None:
    numbers = published.replayed()
    found = {
        (line["method"], f"p={line['p']:g}, epoch {line['epoch']}"): line["theirs"] for _, line in numbers.iterrows()
    }
    assert found == {(each.method, setting): each.value(setting) for each, setting in PROTOCOL.lines()}
    assert pd.api.types.is_float_dtype(numbers["replayed"])
