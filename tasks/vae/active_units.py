"""How many latent variables a trained encoder uses."""

from __future__ import annotations

from torch import Tensor

THRESHOLD = 0.01


def active_units(means: Tensor, again: Tensor | None = None) -> Tensor:
    """The number of variables whose posterior mean E_q z varies over images by more than THRESHOLD (Burda et al. 2016,
    section 5): means [images, *event], a scalar []. A categorical site is active when any of its classes is.

    again: independent estimates of the means, if these are noisy; the covariance of the two is free of the variance of
    the noise.
    """
    others = means if again is None else again
    variance = ((means - means.mean(0)) * (others - others.mean(0))).sum(0) / (len(means) - 1)
    return (variance.reshape(len(variance), -1).amax(1) > THRESHOLD).sum()
