"""The settings of each source: plain data, part of every cell's key. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DrawSettings:
    """`blocks` blocks of at most `rows` draws: fewer when a draw is wide, so that a cell computes about `elements`
    numbers.

    chunk_elements: the same for one call. tuning_steps, tuning_rows: steps of tuning before the draws, and at most how
    many draws per step. look: 0 for the first look; a second look draws afresh.
    """

    blocks: int = 64
    rows: int = 4000
    elements: float = 6e8
    chunk_elements: float = 2e7
    tuning_steps: int = 300
    tuning_rows: int = 64
    look: int = 0


@dataclass(frozen=True)
class EnumerationSettings:
    """`blocks` independent estimates, each from `draws` gradient draws at every configuration of z."""

    draws: int = 100
    blocks: int = 10


@dataclass(frozen=True)
class DescentSettings:
    """`steps` steps of Adam at the rate `lr`, each on the mean of `batch` draws, of `replicates` independent trainings.

    evaluations: into how many epochs the training is divided; each reports its mean loss.
    """

    steps: int = 200
    evaluations: int = 1
    replicates: int = 10
    batch: int = 8
    lr: float = 1e-3


@dataclass(frozen=True)
class TrainSettings:
    """The length of a training, the number of its evaluations, and their sizes.

    steps, seconds: training ends at whichever comes first. images: per evaluation and split. iw_images, iw_samples: for
    the importance-weighted bound at the last evaluation. variance_draws, reference_draws: gradient draws of the
    estimator and of the unbiased reference; without any, no variance or no bias is measured. target_elbo: the test ELBO
    whose time is reported, if any. basket: estimators whose bias and variance are measured at every evaluation, each
    after `basket_tuning` steps of tuning there if it has anything to tune. splits: those evaluated, by default all.
    """

    steps: int = 100
    seconds: float = 4.0
    evaluations: int = 3
    images: int = 1000
    iw_images: int = 200
    iw_samples: int = 100
    variance_draws: int = 16
    reference_draws: int = 64
    target_elbo: float | None = None
    basket: tuple[str, ...] = ()
    basket_tuning: int = 100
    splits: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClockSettings:
    """Timing in rounds: at least `warmup` calls, then at least `repetitions` or `seconds` of them over `rounds` rounds.

    A call so slow that this takes ten times as long gets fewer repetitions, at least two per round. It stops early once
    the interval of the median is within the fraction `precision` of the median. On toys, a call
    makes at most `rows` draws, fewer when they would compute more than `elements` numbers.
    """

    warmup: int = 3
    repetitions: int = 30
    rounds: int = 6
    seconds: float = 0.15
    precision: float = 0.01
    rows: int = 500
    elements: float = 2e7
