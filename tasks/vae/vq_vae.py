"""A VQ-VAE: an encoder, a codebook, and a decoder of code vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from ...estimators.contract import Lower
from ...estimators.latents import Codebook, Encodings, Latent, LatentSpec, LinearCodebook, Objective
from .code_prior import CodePrior
from .latent_model import LatentModel
from .likelihood import make_likelihood
from .model import mlp

SIDE, CHANNELS, HIDDEN = 7, 32, 200
SITES = {"mlp": 16, "conv": SIDE**2}
Networks = tuple[nn.Module, nn.Module]


class VqVae(LatentModel):
    """Encodings encoder(x) of N sites, D wide, and pixels with logits decoder(z), z the codes in their place.

    arch: `mlp`, 784-200-200-(16 D) with tanh, and back; `conv`, two convolutions of stride 2 to 7 x 7 sites, and back.
    temperature: that of the distribution over codes. likelihood: as in likelihood.py. prior: p(codes), trained after
    the codes and no part of the loss; None while it is uniform. data_mean [784]: the output bias starts at its logit,
    or at that of its mean if all pixels share one; without that, the first steps learn the mean alone and the codes
    stop distinguishing images.
    """

    def __init__(
        self,
        arch: str,
        codebook: Codebook | LinearCodebook,
        data_mean: Tensor,
        temperature: float = 1.0,
        likelihood: str = "bernoulli",
    ) -> None:
        super().__init__()
        self.codebook, self.temperature = codebook, temperature
        self.likelihood = make_likelihood(likelihood, len(data_mean))
        self.prior: CodePrior | None = None
        codes, width = codebook.vectors.shape
        self.spec = LatentSpec.encodings(SITES[arch], width, codes, codebook.family)
        self.encoder, self.decoder = NETWORKS[arch](width, len(data_mean))
        *_, bias = self.decoder.parameters()
        self.likelihood.start(bias, data_mean.clamp(1e-3, 1 - 1e-3).view(len(bias), -1).mean(1))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x).unflatten(-1, self.spec.param_shape)

    def latent(self, params: Tensor) -> Encodings:
        return Encodings(params, self.codebook, self.temperature)

    def pixel_means(self, z: Tensor) -> Tensor:
        """E x given the codes z, [*, N, D] -> [*, 784]."""
        return self.likelihood.means(self.decoder(z.flatten(-2)))

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """x [batch, 784], z [n, *replicates, batch, N, D] -> [n, *replicates, batch]."""
        return self.likelihood.error(self.decoder(z.flatten(-2)), x)

    def objective(self, x: Tensor, latent: Latent, bound: bool = False, lower: Sequence[Lower] = ()) -> Objective:
        return lambda z: self.reconstruction(x, z)

    def regulariser(self, latent: Latent, bound: bool = False) -> Tensor | None:
        return None


def mlps(width: int, pixels: int) -> Networks:
    """[*, pixels] -> [*, 16 D], and back; one output bias per pixel."""
    out = SITES["mlp"] * width
    return mlp(pixels, HIDDEN, HIDDEN, out), mlp(out, HIDDEN, HIDDEN, pixels)


def convolutions(width: int, pixels: int) -> Networks:
    """[*, 784] -> [*, 49 D], and back; one output bias for all pixels, which must be 28 x 28."""
    assert pixels == (4 * SIDE) ** 2
    half, double = (partial(layer, kernel_size=4, stride=2, padding=1) for layer in (nn.Conv2d, nn.ConvTranspose2d))
    encoder = [half(1, CHANNELS), nn.ReLU(), half(CHANNELS, CHANNELS), nn.ReLU(), nn.Conv2d(CHANNELS, width, 1)]
    decoder = [nn.Conv2d(width, CHANNELS, 1), nn.ReLU(), double(CHANNELS, CHANNELS), nn.ReLU(), double(CHANNELS, 1)]
    return (
        OnImages((1, 4 * SIDE, 4 * SIDE), *encoder, ChannelsLast()),
        OnImages((SIDE, SIDE, width), ChannelsFirst(), *decoder),
    )


class OnImages(nn.Module):
    """Layers of images [B, *shape], on flat vectors [*, size] -> [*, size']."""

    def __init__(self, shape: tuple[int, ...], *layers: nn.Module) -> None:
        super().__init__()
        self.shape, self.layers = shape, nn.Sequential(*layers)

    def forward(self, flat: Tensor) -> Tensor:
        return self.layers(flat.reshape(-1, *self.shape)).flatten(1).unflatten(0, flat.shape[:-1])


class ChannelsLast(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.movedim(1, -1)


class ChannelsFirst(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.movedim(-1, 1)


NETWORKS: dict[str, Callable[[int, int], Networks]] = {"mlp": mlps, "conv": convolutions}
