"""Full VAE training on MNIST."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from ...estimators.contract import Estimator
from ...estimators.latents import LatentSpec
from ...estimators.names import Unsupported, UsageError
from .active_units import active_units
from .architectures import ARCHITECTURES
from .autoencoder import Autoencoder
from .boltzmann import EACH_STEP, Boltzmann
from .bounds import elbo_parts, importance_weighted
from .combinations import refuse_combinations
from .mnist_task import MnistTask
from .model import Vae
from .optimisers import descend_at_once, make_optimizer
from .smoothed_vae import NEEDED, SmoothedVae
from .two_groups import TwoGroups

MEAN_DRAWS = 16


class MnistVae(MnistTask):
    """A VAE trained on MNIST.

    arch: `linear` 784-200-784 and `nonlinear` 784-200-200-200-200-200-784 (tanh; `nonlinear-lrelu`: LeakyReLU .3) have
    200 bits; `categorical` has 20 sites of 10 classes between the nonlinear networks, `gaussian` 20 means and log
    scales; `hooper` 784-512-256-8x64-256-512-784 (LeakyReLU .2) and `reinmax` the same with 30x10 and ReLU.
    `two-layer-linear` has two stochastic layers of 200 bits, each linear in the one before, `three-layer-linear` and
    `four-layer-linear` more; `two-layer-nonlinear` has the nonlinear networks between any two.
    n, k: bits, or sites and classes, in place of the architecture's own.
    prior, demean, output_bias, kl: as in `Vae`; with kl=l2 the loss is no bound. kl=mean-field and gaussian-integral:
    that of smoothed bits ζ to an RBM's smoothed distribution, as in `SmoothedVae`, for smoothing estimators alone.
    likelihood: `bernoulli` pixels; `gaussian`, -log N(2x - 1; decoder(z), diag v) in nats with its constant, where
    `variance` is v for every pixel, or 0 for a learned one per pixel, max(softplus(b), .001), as in the code of Shi et
    al. 2022: take it with binarisation=none; or `l2`, ||σ(decoder(z)) - x||², for which no bound is reported.
    prior=rbm: a restricted Boltzmann machine with `left` of the bits on one side (0: half of them), as in `Boltzmann`.
    groups=2: q(z₁ given x) q(z₂ given x, z₁) of its two sides, as in `TwoGroups`; the estimator is used for each.
    energy=exact: there, the smoothing estimators get the left-right gradient of DVAE (`smoothing`) and the
    cross-entropy of DVAE++ (dvaepp-*, dvaes-*), for the energy of z₁ itself in place of the relaxed z₁.
    negative, chains, sweeps: how the gradient of its log Z is computed in each step. The ELBO takes log Z from
    enumeration where one side has at most 20 bits, else from annealed importance sampling, which flatters the ELBO by
    as much as it misses: `log_z_gap` is its distance to reverse annealing. In training the loss has the log Z of the
    evaluation before.
    prior_lr: the learning rate of plain SGD on a trained prior; 0 leaves the prior to the optimizer of the rest.
    kl_warmup: as in `Vae`.
    rule: with `wake-sleep` q descends -log q(z given x) at x and z drawn from the model (Hinton et al. 1995), one for
    each image of the minibatch, and the estimator trains p alone: its gradient of q is neither used nor measured.
    optimizer, weight_decay, eps, schedule, warmup: as in `make_optimizer` and `rate_factor`.
    autocast: `bf16` trains encoder and decoder in bfloat16, all else in float32. compile: these networks run
    under torch.compile. cuda_graphs: the step is captured and replayed. All evaluations are in float32.
    """

    name = "mnist-vae"
    layer = "arch"
    dataset = "mnist"
    sources = ("steps", "clock")
    hyperparameters = {
        "arch": {
            "default": "nonlinear",
            "choices": {
                "linear": "bernoulli {n:200}",
                "nonlinear": "bernoulli {n:200}",
                "nonlinear-lrelu": "bernoulli {n:200}",
                "two-layer-linear": "bernoulli {n:200}",
                "two-layer-nonlinear": "bernoulli {n:200}",
                "three-layer-linear": "bernoulli {n:200}",
                "four-layer-linear": "bernoulli {n:200}",
                "categorical": "categorical {n:20}x{k:10}",
                "gaussian": "gaussian {n:20}",
                "hooper": "categorical {n:8}x{k:64}",
                "reinmax": "categorical {n:30}x{k:10}",
            },
            "about": "latents and networks",
        },
        "n": {"default": 0, "min": 0, "max": 10000, "about": "bits, or sites; 0 keeps those of the arch"},
        "k": {"default": 0, "min": 0, "max": 10000, "about": "classes per site; 0 keeps those of the arch"},
        "prior": {
            "default": "fixed",
            "choices": ("fixed", "trainable", "rbm"),
            "about": "fixed, with trained logits, or a restricted Boltzmann machine",
        },
        "groups": {
            "default": 1,
            "min": 1,
            "max": 2,
            "about": "groups of the posterior; 2 draws the RBM's second side given its first",
        },
        "energy": {
            "default": "relaxed",
            "choices": ("relaxed", "exact"),
            "about": "of two groups: at the relaxed z, or of its bits where the estimator can",
        },
        "left": {"default": 0, "min": 0, "max": 10000, "about": "bits on one side of the RBM; 0 is half of them"},
        "negative": {
            "default": "pcd",
            "choices": ("exact", "pcd"),
            "about": "the gradient of the RBM's log Z: enumerated, or from persistent chains",
        },
        "chains": {"default": 100, "min": 1, "max": 100000, "about": "persistent chains of the RBM"},
        "sweeps": {"default": 10, "min": 1, "max": 10000, "about": "Gibbs sweeps of each chain per step"},
        "prior_lr": {
            "default": 0.0,
            "min": 0.0,
            "about": "learning rate of plain SGD for a trained prior; 0 leaves it to the optimizer",
        },
        "demean": {
            "default": "no",
            "choices": ("no", "yes"),
            "about": "whether the mean image is subtracted from the encoder's input",
        },
        "output_bias": {
            "default": "yes",
            "choices": ("no", "yes"),
            "about": "whether the decoder's bias starts at the mean image",
        },
        "kl": {
            "default": "analytic",
            "choices": ("analytic", "sampled", "l2", "mean-field", "gaussian-integral"),
            "about": "KL in closed form, sampled inside f, or of smoothed bits; l2 is no bound",
        },
        "kl_warmup": {"default": 0, "min": 0, "about": "steps of linear growth of the KL's weight"},
        "likelihood": {
            "default": "bernoulli",
            "choices": ("bernoulli", "gaussian", "l2"),
            "about": "Bernoulli or Gaussian pixels, or the squared distance, which is no likelihood",
        },
        "variance": {
            "default": 0.0,
            "min": 0.0,
            "about": "variance of Gaussian pixels; 0 learns one per pixel",
        },
        "rule": {
            "default": "gradient",
            "choices": ("gradient", "wake-sleep"),
            "about": "how q is trained: by the estimator's gradient, or on draws from the model",
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
        "optimizer": {
            "default": "adam",
            "choices": ("adam", "adamw", "radam", "sgd"),
            "about": "optimizer of encoder and decoder",
        },
        "weight_decay": {"default": 0.0, "min": 0.0, "about": "weight decay of the optimizer"},
        "eps": {"default": 1e-8, "above": 0.0, "about": "ε of Adam and its relatives; sgd has none"},
        "schedule": {
            "default": "constant",
            "choices": ("constant", "cosine", "step", "stages"),
            "about": "schedule of the learning rate after the warm-up",
        },
        "warmup": {"default": 0, "min": 0, "about": "steps of linear growth of the learning rate"},
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
    reference = (
        "linear, nonlinear and two-layer-linear: Tucker et al. 2017, section 5.2; nonlinear-lrelu and three- and "
        "four-layer-linear: Dong et al. 2020; two-layer-nonlinear: Maddison et al. 2017; categorical: Jang et al. "
        "2017, section 4; gaussian: Kingma & Welling 2014, appendix C; hooper: Hooper & Shekhovtsov 2026; "
        "reinmax: Liu et al. 2023"
    )

    arch: str
    n: int
    k: int
    prior: str
    groups: int
    energy: str
    left: int
    negative: str
    chains: int
    sweeps: int
    prior_lr: float
    demean: str
    output_bias: str
    kl: str
    kl_warmup: int
    likelihood: str
    variance: float

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.architecture = ARCHITECTURES[self.arch].resized(self.n, self.k)
        self.layers = self.architecture.layers
        self.spec = self.layers[0]
        refuse_combinations(self)
        if self.prior == "rbm":
            self.sides = self._sides()
            if self.groups == 2:
                self.layers = tuple(map(LatentSpec.bernoulli, self.sides))
                self.spec = self.layers[0]

    def _sides(self) -> tuple[int, int]:
        """The bits of the RBM's sides. Raises Unsupported without a single layer of bits, UsageError for bad sizes."""
        if self.spec.kind != "bernoulli":
            raise Unsupported(f"mnist-vae: an RBM is a distribution over bits, and arch={self.arch} has none")
        if len(self.layers) > 1:
            raise Unsupported(f"mnist-vae: prior=rbm takes one stochastic layer, and arch={self.arch} has several")
        (bits,) = self.spec.event_shape
        left = self.left or bits // 2
        if not 0 < left < bits:
            raise UsageError(f"mnist-vae: left must leave bits on both sides of the RBM, got {left} of {bits}")
        smaller = min(left, bits - left)
        if self.negative == "exact" and smaller > EACH_STEP:
            raise UsageError(
                f"mnist-vae: negative=exact enumerates the smaller side of the RBM, at most {EACH_STEP} bits, and "
                f"left={left} of {bits} leaves {smaller} there; set left={EACH_STEP} or negative=pcd"
            )
        return left, bits - left

    def model(self, seed: int) -> Autoencoder:
        """A freshly initialised model, the same for every estimator at one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vae = self._vae()
        return vae.to(self.device)

    def _vae(self) -> Autoencoder:
        options: dict[str, Any] = {
            "likelihood": self.likelihood,
            "variance": self.variance,
            "demean": self.demean == "yes",
            "output_bias": self.output_bias == "yes",
            "kl_warmup": self.kl_warmup,
        }
        if self.prior != "rbm":
            trained = self.prior == "trainable"
            return Vae(self.architecture, self.data_mean, self.kl, trained_prior=trained, **options)
        rbm = partial(Boltzmann, *self.sides, self.negative, self.chains, self.sweeps)
        if self.groups == 2:
            return TwoGroups(
                self.architecture, self.sides[0], self.data_mean, rbm, self.kl, energy=self.energy, **options
            )
        if self.kl in NEEDED:
            return SmoothedVae(self.architecture, self.data_mean, boltzmann=rbm, density=self.kl, **options)
        return Vae(self.architecture, self.data_mean, self.kl, boltzmann=rbm, **options)

    def make_optimizer(self, model: Autoencoder) -> Optimizer:
        if not self.prior_lr:
            return super().make_optimizer(model)
        prior = model.prior_parameters()
        for parameter in prior:
            descend_at_once(parameter, self.prior_lr)
        apart = set(map(id, prior))
        others = [parameter for parameter in model.parameters() if id(parameter) not in apart]
        return make_optimizer(self.optimizer, others, self.lr, self.weight_decay, self.eps)

    def metrics(
        self,
        model: Autoencoder,
        x: Tensor,
        generator: Generator,
        samples: int = 0,
        estimator: Estimator | None = None,
    ) -> dict[str, Tensor]:
        """The ELBO with its two parts by one draw of z, and the active units of all layers; with `samples` log p(x) by
        importance sampling, and its gap."""
        found = elbo_parts(model, x, generator)
        with torch.no_grad():
            means = [model.posterior_means(x, MEAN_DRAWS, generator) for _ in range(2)]
        found["active_units"] = torch.stack([active_units(*pair) for pair in zip(*means, strict=True)]).sum()
        if self.likelihood == "l2":
            return {"loss": -found.pop("elbo")} | found
        if samples:
            found["iw"] = importance_weighted(model, x, samples, generator)
            found["gap"] = found["iw"] - found["elbo"]
        return found

    @torch.no_grad()
    def images(
        self, model: Autoencoder, x: Tensor, generator: Generator, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        _, (z,) = model.sample_posterior(x, 1, generator)
        drawn = model.sample_prior(len(x), generator)
        return {"original": x, "reconstruction": model.pixel_means(z), "sample": model.pixel_means(drawn)}
