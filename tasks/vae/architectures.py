"""The architectures of the field: stochastic layers, hidden layers of the networks, and their activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ...estimators.latents import LatentSpec
from ...estimators.names import UsageError


@dataclass(frozen=True)
class Architecture:
    """layers: the latents, in order from the images. hidden: widths of the encoder, mirrored in the decoder; () makes
    both linear. activation: makes the module between two linear layers."""

    layers: tuple[LatentSpec, ...]
    hidden: tuple[int, ...] = ()
    activation: Callable[[], nn.Module] = nn.Tanh

    def resized(self, sites: int, classes: int) -> Architecture:
        """The same with this number of bits, or of sites and classes, in each layer; 0 keeps the architecture's own.

        Raises UsageError for classes of a latent that has none, and for a single class.
        """
        own = self.layers[0]
        if own.kind == "bernoulli" and classes:
            raise UsageError("bits have no number of classes: leave k out, or choose a categorical arch")
        if classes == 1:
            raise UsageError("k must be 0 or at least 2: a variable of one class carries no information")
        if own.kind == "continuous":
            if classes:
                raise UsageError(f"a {own.family} latent has no classes: leave k out, or choose a categorical arch")
            spec = LatentSpec.continuous(own.family, sites or own.event_shape[0], own.param_shape[1])
            return replace(self, layers=(spec,) * len(self.layers))
        size = (sites or own.event_shape[0], *(classes or own_classes for own_classes in own.event_shape[1:]))
        spec = LatentSpec.bernoulli(*size) if own.kind == "bernoulli" else LatentSpec.categorical(*size)
        return replace(self, layers=(spec,) * len(self.layers))


BITS = LatentSpec.bernoulli(200)
ARCHITECTURES = {
    "linear": Architecture((BITS,)),
    "nonlinear": Architecture((BITS,), (200, 200)),
    "nonlinear-lrelu": Architecture((BITS,), (200, 200), partial(nn.LeakyReLU, 0.3)),
    "two-layer-linear": Architecture((BITS,) * 2),
    "two-layer-nonlinear": Architecture((BITS,) * 2, (200, 200)),
    "three-layer-linear": Architecture((BITS,) * 3),
    "four-layer-linear": Architecture((BITS,) * 4),
    "categorical": Architecture((LatentSpec.categorical(20, 10),), (200, 200)),
    "gaussian": Architecture((LatentSpec.continuous("gaussian", 20, 2),), (200, 200)),
    "hooper": Architecture((LatentSpec.categorical(8, 64),), (512, 256), partial(nn.LeakyReLU, 0.2)),
    "reinmax": Architecture((LatentSpec.categorical(30, 10),), (512, 256), nn.ReLU),
}
