"""Full VAE training on MNIST."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from ...estimators.contract import Estimator
from ...estimators.names import UsageError
from .active_units import active_units
from .architectures import ARCHITECTURES
from .bounds import elbo_parts, importance_weighted
from .mnist_task import MnistTask
from .model import Vae
from .optimisers import descend_at_once, make_optimizer

MEAN_DRAWS = 16


class MnistVae(MnistTask):
    """A VAE trained on MNIST.

    arch: `linear` 784-200-784 and `nonlinear` 784-200-200-200-200-200-784 (tanh; `nonlinear-lrelu`: LeakyReLU .3) have
    200 bits; `categorical` has 20 sites of 10 classes between the nonlinear networks, `gaussian` 20 means and log
    scales; `hooper` 784-512-256-8x64-256-512-784 (LeakyReLU .2) and `reinmax` the same with 30x10 and ReLU.
    `two-layer-linear` has two stochastic layers of 200 bits, each linear in the one before, `three-layer-linear` and
    `four-layer-linear` more; `two-layer-nonlinear` has the nonlinear networks between any two.
    n, k: bits, or sites and classes, in place of the architecture's own.
    prior, demean, output_bias, kl: as in `Vae`; with kl=l2 the loss is no bound.
    likelihood: `bernoulli` pixels; `gaussian`, -log N(2x - 1; decoder(z), diag v) in nats with its constant, where
    `variance` is v for every pixel, or 0 for a learned one per pixel, max(softplus(b), .001), as in the code of Shi et
    al. 2022: take it with binarisation=none; or `l2`, ||σ(decoder(z)) - x||², for which no bound is reported.
    prior_lr: the learning rate of plain SGD on a trained prior; 0 leaves the prior to the optimizer of the rest.
    optimizer, weight_decay, schedule, warmup: as in `make_optimizer` and `rate_factor`.
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
            "choices": ("fixed", "trainable"),
            "about": "whether the logits of the prior are trained",
        },
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
            "choices": ("analytic", "sampled", "l2"),
            "about": "KL in closed form, or sampled inside f; l2 in its place is no bound",
        },
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
        "schedule": {
            "default": "constant",
            "choices": ("constant", "cosine", "step"),
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
    prior_lr: float
    demean: str
    output_bias: str
    kl: str
    likelihood: str
    variance: float

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.architecture = ARCHITECTURES[self.arch].resized(self.n, self.k)
        self.layers = self.architecture.layers
        self.spec = self.layers[0]
        if self.kl == "l2" and self.spec.family != "gaussian":
            raise UsageError("mnist-vae: kl=l2 compares means and scales: it needs arch=gaussian")
        if self.prior == "trainable" and self.spec.kind == "continuous":
            raise UsageError("mnist-vae: a trained prior consists of logits: it needs a discrete arch")
        if self.prior_lr and self.prior == "fixed":
            raise UsageError("mnist-vae: prior_lr is the learning rate of a trained prior: add prior=trainable")
        if self.variance and self.likelihood != "gaussian":
            raise UsageError("mnist-vae: variance is that of Gaussian pixels: add likelihood=gaussian")

    def model(self, seed: int) -> Vae:
        """A freshly initialised model, the same for every estimator at one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vae = Vae(
                self.architecture,
                self.data_mean,
                self.kl,
                self.likelihood,
                self.prior == "trainable",
                self.demean == "yes",
                self.output_bias == "yes",
                self.variance,
            )
        return vae.to(self.device)

    def make_optimizer(self, model: Vae) -> Optimizer:
        prior = model.trained_prior
        if prior is None or not self.prior_lr:
            return super().make_optimizer(model)
        descend_at_once(prior, self.prior_lr)
        others = [parameter for parameter in model.parameters() if parameter is not prior]
        return make_optimizer(self.optimizer, others, self.lr, self.weight_decay)

    def metrics(
        self, model: Vae, x: Tensor, generator: Generator, samples: int = 0, estimator: Estimator | None = None
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
        self, model: Vae, x: Tensor, generator: Generator, estimator: Estimator | None = None
    ) -> dict[str, Tensor]:
        _, (z,) = model.sample_posterior(x, 1, generator)
        drawn = model.sample_prior(len(x), generator)
        return {"original": x, "reconstruction": model.pixel_means(z), "sample": model.pixel_means(drawn)}
