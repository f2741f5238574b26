"""Gradient draws of known distribution: light-tailed, correlated, heavy-tailed, rare and constant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator, default_rng

from ..statistics.moments import Accumulator, Moments

BLOCKS = 64
ALL = ("level", "power", "variance")
FEW, SOME, MANY = 64, 500, 4000  # draws per block: 4,096, 32,000 and 256,000 in all
_TOGETHER = 100  # runs simulated at once


@dataclass(frozen=True)
class Case(ABC):
    """A distribution of draws whose mean `exact` [D] and trace of the covariance `total` are known; `rows` per block.

    parts: what is calibrated on it: false alarms ("level"), "power", the interval of the "variance".
    """

    name: str
    about: str
    rows: int
    parts: tuple[str, ...]

    @property
    @abstractmethod
    def exact(self) -> np.ndarray: ...

    @property
    @abstractmethod
    def total(self) -> float: ...

    @abstractmethod
    def draws(self, rng: Generator, count: int) -> np.ndarray:
        """[count, D], float32."""

    @abstractmethod
    def moments(self, rng: Generator, runs: int) -> Iterator[Moments]:
        """The moments of many runs, quickly: float64, for bias tests only, without `block_spread` or `kurtosis`."""

    @property
    def n(self) -> int:
        return BLOCKS * self.rows

    def accumulated(self, rng: Generator) -> Moments:
        """The moments of one run's draws, by the accumulator that estimators' draws go through."""
        accumulator = Accumulator(BLOCKS, self.rows)
        for block in torch.from_numpy(self.draws(rng, self.n)).split(self.rows):
            accumulator.add(block)
        return accumulator.finish()


@dataclass(frozen=True)
class TwoPoint(Case):
    """Coordinates that equal at_one with probability p, else at_zero, all [K]; mixing [D, K], if any, combines them.

    Block means come from binomial counts, which gives their exact distribution. So does the variance, except that the
    sample covariances of mixed coordinates count as zero: the variance only enters the noise floor.
    """

    p: np.ndarray
    at_one: np.ndarray
    at_zero: np.ndarray
    mixing: np.ndarray | None = None

    @property
    def exact(self) -> np.ndarray:
        mean = self.p * self.at_one + (1 - self.p) * self.at_zero
        return mean if self.mixing is None else self.mixing @ mean

    @property
    def total(self) -> float:
        return float(self._variance(self.p).sum())

    def draws(self, rng: Generator, count: int) -> np.ndarray:
        ones = rng.random((count, len(self.p)), dtype=np.float32) < self.p.astype(np.float32)
        values = np.where(ones, self.at_one.astype(np.float32), self.at_zero.astype(np.float32))
        return values if self.mixing is None else values @ self.mixing.T.astype(np.float32)

    def moments(self, rng: Generator, runs: int) -> Iterator[Moments]:
        at_zero = self.at_zero.astype(np.float32).astype(np.float64)
        jump = self.at_one.astype(np.float32) - at_zero
        for start in range(0, runs, _TOGETHER):
            size = (min(_TOGETHER, runs - start), BLOCKS)
            counts = np.stack([rng.binomial(self.rows, p, size) for p in self.p], axis=-1)
            for shares in counts / self.rows:
                variance = self._variance(shares.mean(0)) * (self.n / (self.n - 1))
                means = at_zero + jump * shares
                if self.mixing is not None:
                    means = means @ self.mixing.T
                yield Moments(self.n, means.mean(0), variance, means, None)

    def _variance(self, share: np.ndarray) -> np.ndarray:
        own = (self.at_one - self.at_zero) ** 2 * share * (1 - share)
        return own if self.mixing is None else self.mixing**2 @ own


class _Drawn(Case):
    """Cases whose block means have no known distribution: every draw is made, and averaged in float64."""

    def moments(self, rng: Generator, runs: int) -> Iterator[Moments]:
        for _ in range(runs):
            draws = self.draws(rng, self.n)
            means = draws.reshape(BLOCKS, self.rows, -1).mean(1, dtype=np.float64)
            yield Moments(self.n, means.mean(0), draws.var(0, ddof=1, dtype=np.float64), means, None)


@dataclass(frozen=True)
class Weighted(_Drawn):
    """A two-point gradient times one log-normal weight per draw, exp(sigma x - sigma²/2), of mean one."""

    gradient: TwoPoint
    sigma: float

    @property
    def exact(self) -> np.ndarray:
        return self.gradient.exact

    @property
    def total(self) -> float:
        mean_square = self.gradient.total + float(self.exact @ self.exact)
        return float(np.exp(self.sigma**2) * mean_square - self.exact @ self.exact)

    def draws(self, rng: Generator, count: int) -> np.ndarray:
        normal = rng.standard_normal((count, 1), dtype=np.float32)
        weight = np.exp(np.float32(self.sigma) * normal - np.float32(self.sigma**2 / 2))
        return weight * self.gradient.draws(rng, count)


@dataclass(frozen=True)
class Student(_Drawn):
    """Independent Student t coordinates around `centre` [D]; no moment of order `degrees` or higher exists."""

    centre: np.ndarray
    degrees: int

    @property
    def exact(self) -> np.ndarray:
        return self.centre

    @property
    def total(self) -> float:
        return len(self.centre) * self.degrees / (self.degrees - 2)

    def draws(self, rng: Generator, count: int) -> np.ndarray:
        size = (count, len(self.centre))
        chi2 = 2 * rng.standard_gamma(self.degrees / 2, size, dtype=np.float32)
        normal = rng.standard_normal(size, dtype=np.float32)
        return self.centre.astype(np.float32) + normal * np.sqrt(self.degrees / chi2)


def bits(
    name: str, about: str, width: int, mixing: np.ndarray | None = None, constants: tuple[float, ...] = ()
) -> list[TwoPoint]:
    """(z - p) f(z) of `width` independent bits with p in [.1, .9], each with its own f; then constant coordinates.

    One case with as many draws as the quick preset for the bias tests, and one with few enough to make every draw for
    the variance.
    """
    rng = default_rng(width)
    p, f = rng.uniform(0.1, 0.9, width), 1 + rng.standard_normal((2, width))
    one, zero, fixed = (1 - p) * f[1], -p * f[0], np.array(constants)
    chance = np.append(p, np.full(len(fixed), 0.5))
    coordinates = (chance, np.append(one, fixed), np.append(zero, fixed), mixing)
    return [
        TwoPoint(name, about, MANY, ("level", "power"), *coordinates),
        TwoPoint(name, about, FEW, ("variance",), *coordinates),
    ]


def rare(p: float, rows: int) -> Case:
    """20 coordinates that are 1 with probability p, else 0: the rare event carries the mean."""
    about = f"20 coordinates that are 1 with probability {p:g}, else 0"
    parts = ("level", "variance") if rows < MANY and p * BLOCKS * rows > 5 else ("level",)
    return TwoPoint(f"rare-{p:g}", about, rows, parts, np.full(20, p), np.ones(20), np.zeros(20))


def cases() -> list[Case]:
    """Every case of the page, in its order."""
    mixing = default_rng(20).standard_normal((200, 20)) / np.sqrt(20)
    coin = (np.array([0.5]), np.array([1.2]), np.array([-0.8]))
    ladder = (np.geomspace(0.5, 1e-5, 50), np.ones(50), np.zeros(50))
    scores = bits("", "", 8)[0]
    return [
        *bits("one", "one score-function coordinate", 1),
        TwoPoint("coin", "one coordinate, 1.2 or -0.8 at even odds", FEW, ALL, *coin),
        *bits("light-20", "20 independent score-function coordinates", 20),
        *bits("light-200", "200 independent score-function coordinates", 200),
        *bits("correlated", "200 network parameters mixed from 20 score-function coordinates", 20, mixing),
        *bits("constants", "20 score-function coordinates and 5 constants", 20, None, (0.0, 0.1, 1 / 3, -2.7, 1e-4)),
        Weighted("log-normal", "8 score-function coordinates times one log-normal weight", 2 * FEW, ALL, scores, 1.0),
        Student("student-5", "8 Student t coordinates, 5 degrees of freedom", FEW, ALL, np.full(8, 0.1), 5),
        TwoPoint("ladder", "50 events of probability 1/2 down to 1e-5", SOME, ("level",), *ladder),
        *[rare(p, rows) for p in (1e-4, 1e-3, 0.02) for rows in (FEW, SOME, MANY)],
    ]
