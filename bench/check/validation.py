"""A latent other than the one that the estimator was made for."""

from __future__ import annotations

import torch

from ...estimators.contract import Unsupported
from ...estimators.latents import latent_at
from ...estimators.names import UsageError
from . import costs
from .case import SPECS, Case, Failed, seeded


def latent(case: Case) -> str:
    """A latent of another kind or of other sizes is refused in one sentence, by the call and by estimate()."""
    estimator = case.fresh()
    others = {spec for specs in (*SPECS.values(), *costs.SPECS.values()) for spec in specs} - {case.spec}
    for other in sorted(others, key=repr):
        given = latent_at(other, torch.zeros(2, *other.param_shape, requires_grad=True))
        for call in (estimator, estimator.estimate):
            try:
                call(lambda z: z.flatten(2).sum(-1), given, seeded())
            except (UsageError, Unsupported):
                continue
            except Exception as error:
                problem = f"{type(error).__name__}: {error}".splitlines()[0]
                raise Failed(f"made for {case.spec} and given {other}, it raises {problem}, no UsageError") from error
            raise Failed(f"made for {case.spec}, it accepts {other}")
    return ""
