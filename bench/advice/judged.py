"""An estimator whose losses can be compared with those of any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Generator

from ...estimators.contract import Estimate, Estimator
from ...estimators.latents import Latent, Objective
from ...estimators.validation import checked


@contextmanager
def judged(estimator: Estimator, generator: Generator) -> Iterator[None]:
    """Inside, the value of its estimates is f at a draw of z from `generator`; their gradients stay the same.

    The value of a relaxation is f at a relaxed z, which no other estimator's can be compared with.
    """
    original: Callable[..., Estimate] = estimator.estimate

    def estimate(f: Objective, latent: Latent, own: Generator | None = None) -> Estimate:
        found = original(f, latent, own)
        with torch.no_grad():
            hard = checked(f, latent)(latent.sample(1, generator))[0]
            hard = torch.where(latent.params.isnan().any(), torch.nan, hard)  # of which z and f may show nothing
        return replace(found, value=found.value + (hard - found.value).detach())

    hooked: Any = estimator.__dict__
    hooked["estimate"] = estimate
    try:
        yield
    finally:
        del hooked["estimate"]
