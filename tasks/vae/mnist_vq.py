"""VQ-VAE training on MNIST."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from ...estimators.contract import Estimator, Unsupported
from ...estimators.latents import CODEBOOKS, Codebook, LatentSpec
from ...estimators.names import UsageError
from ...estimators.quantisers.parts import distance
from ...estimators.quantisers.quantiser import Quantiser
from .code_prior import CodePrior, Unigram, convolutional, recurrent
from .mnist_task import MnistTask
from .prior_training import PriorTraining
from .vq_vae import SIDE, SITES, VqVae

CHUNK, MOST_CODES = 1000, 4096


class MnistVq(MnistTask):
    """A VQ-VAE trained on MNIST with fused Adam: one of `codes` codes, `width` wide, at each of the 16 sites of an MLP
    or the 49 of a convolutional network (`VqVae`).

    codebook: `free`, or the `linear-codebook` of SimVQ. temperature: that of stochastic-vq and vq-gumbel. kmeans:
    iterations of k-means that start a free codebook at the untrained encodings of 1000 images; 0 leaves it random.
    Replacement of dead codes is an option of `vq-ema`. prior: p(codes); unless uniform, it is trained after the last
    step, on the frozen model's codes of as many minibatches, and the ELBO is that of the last evaluation alone.
    `unigram` counts codes, the same at every site; `autoregressive` is a GRU over the 16 sites or masked convolutions
    over the 49. likelihood: as in mnist-vae; with `l2` there is no ELBO. The speed paths (autocast, compile,
    cuda_graphs) are those of mnist-vae.
    """

    name = "mnist-vq"
    layer = "arch"
    dataset = "mnist"
    sources = ("steps", "clock")
    hyperparameters = {
        "arch": {
            "default": "mlp",
            "choices": {"mlp": "encodings 16x{width}", "conv": "encodings 49x{width}"},
            "about": "networks: an MLP with 16 sites, or a convolutional one with 49",
        },
        "likelihood": {
            "default": "bernoulli",
            "choices": ("bernoulli", "l2"),
            "about": "Bernoulli pixels, or the squared distance, which is no likelihood",
        },
        "codes": {"default": 128, "min": 1, "max": 65536, "about": "codes in the codebook"},
        "width": {"default": 8, "min": 1, "max": 512, "about": "numbers in a code vector"},
        "codebook": {
            "default": "free",
            "choices": ("free", "linear-codebook"),
            "about": "free code vectors, or a learned linear map of random ones",
        },
        "temperature": {
            "default": 1.0,
            "above": 0.0,
            "about": "temperature of the choice of codes, for stochastic-vq and vq-gumbel",
        },
        "kmeans": {
            "default": 0,
            "min": 0,
            "about": "iterations of k-means that start a free codebook; 0 leaves it random",
        },
        "prior": {
            "default": "uniform",
            "choices": ("uniform", "unigram", "autoregressive", "rbm"),
            "about": "prior of the codes, trained after the model unless uniform; rbm: unsupported",
        },
        "binarisation": {
            "default": "dynamic",
            "choices": ("dynamic", "static-seeded", "static-larochelle", "threshold", "none"),
            "about": "how grey levels become training images",
        },
        "split": {
            "default": "60k/10k",
            "choices": ("60k/10k", "50k/10k/10k"),
            "about": "images to train and test, or to train, validate and test",
        },
        "batch": {"default": 100, "min": 1, "max": 10000, "about": "images per minibatch"},
        "lr": {"default": 1e-3, "above": 0.0, "about": "learning rate"},
        "autocast": {
            "default": "no",
            "choices": ("no", "bf16"),
            "about": "bf16 trains encoder and decoder in bfloat16",
        },
        "compile": {
            "default": "no",
            "choices": ("no", "yes"),
            "about": "whether encoder and decoder are compiled by torch.compile",
        },
        "cuda_graphs": {
            "default": "no",
            "choices": ("no", "yes"),
            "about": "whether the training step is captured as a CUDA graph",
        },
    }
    reference = "van den Oord, Vinyals & Kavukcuoglu 2017; section 2.4 of the seed document"

    arch: str
    likelihood: str
    codes: int
    width: int
    codebook: str
    temperature: float
    kmeans: int
    prior: str

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.prior == "rbm":
            raise Unsupported(
                f"{self.name}: an RBM is a distribution over bits, and codes are none; take prior=autoregressive"
            )
        self.book = CODEBOOKS["" if self.codebook == "free" else self.codebook]
        if self.kmeans and self.book is not Codebook:
            raise UsageError(f"{self.name}: kmeans starts a free codebook; leave out codebook={self.codebook}")
        if self.arch == "conv" and self.image_size != (4 * SIDE, 4 * SIDE):
            raise UsageError(
                f"{self.name}: arch=conv is for images of {4 * SIDE} x {4 * SIDE} pixels, and these have "
                f"{' x '.join(map(str, self.image_size))}; take arch=mlp"
            )
        self.layers = (LatentSpec.encodings(SITES[self.arch], self.width, self.codes, self.book.family),)

    def model(self, seed: int) -> VqVae:
        """A freshly initialised model, the same for every estimator at one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vectors = torch.randn(self.codes, self.width) / self.width**0.5
            model = VqVae(self.arch, self.book(vectors), self.data_mean, self.temperature, self.likelihood)
        model = model.to(self.device)
        if self.kmeans:
            with torch.no_grad():
                points = model.encode(self.evaluation_images(self.train, CHUNK)).flatten(0, -2)
            assert isinstance(model.codebook, Codebook)
            model.codebook.start_at(points, self.kmeans, torch.Generator(self.device).manual_seed(seed))
        return model

    def check(self, model: VqVae, x: Tensor, estimator: Estimator) -> None:
        """Raises Unsupported if a prior is to be trained on codes that the estimator does not number, or on more than
        MOST_CODES per site."""
        if self.prior == "uniform":
            return
        quantiser = self._quantiser(estimator)
        if quantiser.codes > MOST_CODES:
            raise Unsupported(
                f"{self.name}: prior={self.prior} takes at most {MOST_CODES} codes per site, and {estimator!r} has "
                f"{quantiser.codes} here; give fewer codes or a smaller width, or leave prior out"
            )
        latent = model.latent(model.encode(x))
        if not torch.equal(quantiser.vectors(quantiser.indices(latent), latent), quantiser.quantise(latent)):
            raise Unsupported(
                f"{self.name}: prior={self.prior} needs numbered codes, and the indices and vectors of {estimator!r} "
                "do not give its quantise; define all three, or leave prior out"
            )

    def finish(self, model: VqVae, estimator: Estimator, steps: int, generator: Generator) -> PriorTraining | None:
        """The training of a fresh prior on the codes of `steps` minibatches."""
        if self.prior == "uniform":
            return None
        quantiser = self._quantiser(estimator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            model.prior = self._fresh_prior(quantiser.codes).to(self.device)
        return PriorTraining(model.prior, partial(self._indices, model, quantiser), self.batches(generator), steps)

    def metrics(
        self, model: VqVae, x: Tensor, generator: Generator, samples: int = 0, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        """With z the codes, out of K, that the estimator takes at test time: "reconstruction"; "kl" = -log p(z), which
        is N log K for the uniform prior; "elbo" = -("reconstruction" + "kl") for a likelihood, and "bits_per_dim" =
        -"elbo" / (784 log 2); "distortion" = Σ_i ||e_i - z_i||²; "loss", as trained. For all images together: "bits" =
        N log2 K per image, "perplexity" of the codes in use, and "dead_codes", how many of K are not in use.

        Before `finish` has trained its prior, a model has no "kl".
        """
        quantiser = self._quantiser(estimator)
        parts = [self._encoded(model, images, generator, quantiser) for images in x.split(CHUNK)]
        found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        counts = found.pop("codes").flatten(0, -2).unique(dim=0, return_counts=True)[1]
        share, nats = counts / counts.sum(), model.spec.event_shape[0] * math.log(quantiser.codes)
        if self.prior == "uniform":
            found["kl"] = torch.full_like(found["loss"], nats)
        if "kl" in found and self.likelihood == "bernoulli":
            found["elbo"] = -found["reconstruction"] - found["kl"]
            found["bits_per_dim"] = -found["elbo"] / (x.shape[-1] * math.log(2))
        together = {
            "bits": nats / math.log(2),
            "perplexity": torch.special.entr(share).sum().exp(),
            "dead_codes": quantiser.codes - len(counts),
        }
        return found | {name: torch.as_tensor(number, dtype=x.dtype) for name, number in together.items()}

    @torch.no_grad()
    def images(
        self, model: VqVae, x: Tensor, generator: Generator, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        """Samples only from a trained prior: those of uniform codes are noise."""
        quantiser, latent = self._quantiser(estimator), model.latent(model.encode(x))
        found = {"original": x, "reconstruction": model.pixel_means(quantiser.quantise(latent))}
        if model.prior is not None:
            drawn = model.prior.sample(len(x), model.spec.event_shape[0], generator)
            found["sample"] = model.pixel_means(quantiser.vectors(drawn, latent))
        return found

    def _fresh_prior(self, codes: int) -> CodePrior:
        if self.prior == "unigram":
            return Unigram(codes)
        return recurrent(codes) if self.arch == "mlp" else convolutional(codes, SIDE)

    def _quantiser(self, estimator: Estimator | None) -> Quantiser:
        if not isinstance(estimator, Quantiser):
            raise Unsupported(f"{self.name} needs an estimator that derives from Quantiser, with codes at test time")
        return estimator

    @torch.no_grad()
    def _indices(self, model: VqVae, quantiser: Quantiser, x: Tensor) -> Tensor:
        return quantiser.indices(model.latent(model.encode(x)))

    @torch.no_grad()
    def _encoded(self, model: VqVae, x: Tensor, generator: Generator, quantiser: Quantiser) -> dict[str, Tensor]:
        latent = model.latent(model.encode(x))
        codes = quantiser.quantise(latent)
        found = {
            "codes": codes,
            "reconstruction": model.reconstruction(x, codes.unsqueeze(0))[0],
            "distortion": distance(latent.params, codes),
            "loss": quantiser(model.objective(x, latent), latent, generator),
        }
        if model.prior is not None:
            found["kl"] = -model.prior.log_prob(quantiser.indices(latent))
        return found
