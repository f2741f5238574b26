"""Which estimators apply to which tasks, from their facts alone: the kind of latent that each is defined for."""

from __future__ import annotations

from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS
from ..latents import latent_of

KINDS = ("bernoulli", "categorical", "subset", "sequence", "continuous", "encodings")
"""As in estimators.latents, which imports torch."""


def refusal(estimator: Name, task: Name) -> str:
    """Why an estimator does not apply to a task, in one sentence; "" where no fact speaks against it.

    A limit that shows only when the estimator is built, such as the size of an enumeration, is not known here: its cell
    ends as `unsupported`.
    """
    kind, kinds = kind_of(task), ESTIMATORS.find(estimator.family).facts.get("latents", ())
    if not kind or not kinds or kind in kinds:
        return ""
    return f"{estimator.family} is defined for {' and '.join(kinds)} latents, not {kind}"


def kind_of(task: Name) -> str:
    """The kind of a task's top latent; "" for a plugin, whose facts need not state it."""
    family = latent_of(str(task)).partition(" ")[0]
    return family if family in KINDS else "continuous" if family else ""
