"""Tasks and training steps on a device that does not exist; prints {case: "" or what went wrong} as JSON.

See bench/check/fake_device.py, which does the same for estimators. Run in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from dvae_bench.bench.check.fake_device import DEVICE, NothingOnTheCpu, outcome, register
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.draws import draws, work
from dvae_bench.bench.sources.draws.work import count_work
from dvae_bench.bench.sources.settings import ClockSettings
from dvae_bench.bench.sources.timing import timing
from dvae_bench.bench.sources.timing.clock import CpuClock, Timeline
from dvae_bench.bench.sources.timing.timing import timed_draws, timed_steps
from dvae_bench.bench.sources.training import evaluation, step, trajectory
from dvae_bench.estimators.contract import Estimate, Estimator, Unsupported
from dvae_bench.estimators.latents import FAMILIES, Latent, Objective
from dvae_bench.estimators.quantisers.stochastic_vq import StochasticVq
from dvae_bench.estimators.quantisers.vq_st import VqSt
from dvae_bench.estimators.registry import ESTIMATORS, TASKS
from dvae_bench.estimators.score_function.rloo import Rloo
from dvae_bench.tasks.vae import mnist_half, mnist_task, mnist_vae, tiny_half, tiny_vae
from dvae_bench.tasks.vae.code_prior import CodePrior, Unigram, convolutional
from dvae_bench.tasks.vae.datasets import Dataset
from dvae_bench.tasks.vae.mnist_vq import MnistVq
from torch import Tensor, nn

TYPES = ("rloo", "reinforce-ema", "rebar", "straight-through", "multisample")
META = torch.library.Library("aten", "IMPL", "Meta")
CONTINUOUS = ("pathwise", "reinforce", "measure-valued")
VAES = (("linear", "sampled"), ("categorical", "analytic"), ("two-layer-linear", "analytic"))
PRIORS = {"unigram": lambda: Unigram(8), "convolutions": lambda: convolutional(8, 4)}
"""Without the GRU: torch has none for a device that does not exist."""
TOYS = [plugin.name for plugin in TASKS if "steps" not in plugin.fact("sources", ())] + [
    "bit-table:extension=multilinear",
    "tiny-vae:deeper=3",
    "rbm-bits:posterior_groups=2",
    "tiny-half:latents=classes",
]


class ConstantOnTheCpu(Rloo):
    """A planted fault."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        assert right.grad is not None
        return Estimate(right.value, right.grad @ torch.eye(right.grad.shape[-1]))


class HostSync(Rloo):
    """A planted fault."""

    def gradient(self, f: Objective, latent: Latent, draw: Tensor) -> Estimate:
        right = super().gradient(f, latent, draw)
        right.value.mean().item()
        return right


def toy(text: str) -> None:
    """Gradient draws of a toy, counted and timed."""
    (name,) = TASKS.select([text])
    task = TASKS.find(name.family).load()(DEVICE, **name.values)
    cls = StochasticVq if task.layers[0].kind == "encodings" else Rloo
    layers = Layers(cls, {}, task, torch.device(DEVICE))
    assert count_work(layers, task).costs.syncs == 0
    timed_draws(layers, task, ClockSettings(rows=3), seed=0).call(Timeline(CpuClock()))
    for group, tensors in task.groups().items():
        assert {tensor.device.type for tensor in tensors} == {DEVICE}, f"{group} is elsewhere"


def family(name: str, family: str) -> None:
    """A gradient of a continuous latent, and its log-probability."""
    latent_class = FAMILIES[family]
    with torch.device(DEVICE):
        params = torch.zeros(4, 3, latent_class.columns(3)).requires_grad_()
    latent = latent_class(params)
    try:
        estimator = ESTIMATORS.find(name).load()(latent.spec)
        with NothingOnTheCpu():
            loss = estimator(lambda z: z.square().sum(-1), latent, None) + latent.log_prob(latent.sample(1, None))[0]
            loss.sum().backward()
    except Unsupported:
        return
    assert params.grad is not None and params.grad.device.type == DEVICE


def vae(cls: type[Estimator], arch: str, kl: str) -> None:
    """Training steps of a full VAE, counted and timed."""
    steps(cls, mnist_vae.MnistVae(DEVICE, arch=arch, kl=kl, batch=4))


def rbm(name: str, **values: Any) -> None:
    """The same with an RBM as prior."""
    task = mnist_vae.MnistVae(DEVICE, prior="rbm", left=8, kl_warmup=2, batch=4, **values)
    steps(ESTIMATORS.find(name).load(), task)


def half(cls: type[Estimator], arch: str) -> None:
    """Training steps of structured prediction, counted and timed."""
    steps(cls, mnist_half.MnistHalf(DEVICE, arch=arch, batch=4))


def vq(arch: str) -> None:
    """Training steps of a VQ-VAE, counted and timed."""
    steps(VqSt, MnistVq(DEVICE, arch=arch, batch=4))


def asleep(arch: str) -> None:
    """Training steps of a VAE by wake-sleep."""
    steps(Rloo, mnist_vae.MnistVae(DEVICE, arch=arch, rule="wake-sleep", batch=4))


def prior(make: Callable[[], CodePrior]) -> None:
    """The training of a prior over codes, and draws from it."""
    with torch.device(DEVICE):
        codes, prior = torch.zeros(4, 16, dtype=torch.long), make()
    with NothingOnTheCpu():
        optimizer = prior.optimizer()
        for _ in range(2):
            prior.learn(codes, optimizer)
        drawn = prior.sample(2, 16, None)
    assert drawn.device.type == prior.log_prob(codes).device.type == DEVICE


def steps(cls: type[Estimator], task: mnist_task.MnistTask) -> None:
    try:
        timed = timed_steps(task, Layers(cls, {}, task, torch.device(DEVICE)).whole, seed=0)
    except Unsupported:
        return
    assert timed.costs is not None and timed.costs.syncs == 0
    for _ in range(2):
        timed.call(Timeline(CpuClock()))


def data(split: str = "") -> Dataset:
    """Images that are not there."""
    return Dataset("none", split, *(torch.zeros(count, 784, dtype=torch.uint8) for count in (40, 0, 40)))


def trained(name: str, deeper: int) -> tuple[tiny_vae.Vae, Tensor]:
    """A tiny VAE that is not trained."""
    return tiny_vae.Vae(tiny_vae.architecture(deeper), torch.rand(784)), torch.rand(4, 784)


def trained_half(name: str, latents: str) -> tuple[tiny_half.StructuredPrediction, Tensor]:
    """A tiny model of halves that is not trained."""
    return tiny_half.StructuredPrediction(tiny_half.LAYERS[latents], torch.rand(784), 392), torch.rand(4, 784)


def move(module: nn.Module, device: Any, dtype: Any = None) -> nn.Module:
    """`nn.Module.to`, which cannot swap the parameters of a fake tensor mode."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().to(device))
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to(device)
    return module


def stand_ins() -> None:
    """Replace what a device without numbers cannot do: generators, data, copies of modules, gammas' derivatives."""
    META.impl("_standard_gamma_grad", lambda concentration, draw: torch.empty_like(draw))
    for module in (draws, work, timing, step, evaluation, trajectory):
        module.stream = lambda *purpose: None  # type: ignore[attr-defined]
    nn.Module.to = move  # type: ignore[assignment, method-assign]
    mnist_task.load_mnist = tiny_vae.load_mnist = tiny_half.load_mnist = data  # type: ignore[attr-defined]
    tiny_vae.trained, tiny_half.trained = trained, trained_half  # type: ignore[assignment]
    tiny_vae.copy = tiny_half.copy = SimpleNamespace(deepcopy=lambda module: module)  # type: ignore[attr-defined]


def main() -> None:
    register()
    stand_ins()
    cases: dict[str, Callable[[], None]] = {}
    for cls in (ConstantOnTheCpu, HostSync):
        cases[f"planted-{cls.__name__}"] = partial(vae, cls, "linear", "analytic")
    for name in TYPES:
        for arch, kl in VAES:
            cases[f"{name}-vae-{arch}-{kl}"] = partial(vae, ESTIMATORS.find(name).load(), arch, kl)
    for name in CONTINUOUS:
        for each in FAMILIES:
            cases[f"{name}-{each}"] = partial(family, name, each)
    for name in ("rloo", "rebar"):
        for negative, groups in (("exact", 2), ("pcd", 1), ("pcd", 2)):
            cases[f"{name}-rbm-{negative}-{groups}"] = partial(rbm, name, negative=negative, groups=groups)
    cases["dvaepp-exp-rbm-mean-field"] = partial(rbm, "dvaepp-exp", kl="mean-field")
    for name in TYPES:
        for arch in ("two-layer", "categorical"):
            cases[f"{name}-half-{arch}"] = partial(half, ESTIMATORS.find(name).load(), arch)
    for arch in ("mlp", "conv"):
        cases[f"vq-{arch}"] = partial(vq, arch)
    for arch in ("linear", "two-layer-linear"):
        cases[f"wake-sleep-{arch}"] = partial(asleep, arch)
    for each, make in PRIORS.items():
        cases[f"prior-{each}"] = partial(prior, make)
    for name in TOYS:
        cases[f"toy-{name}"] = partial(toy, name)
    print(json.dumps({name: outcome(case) for name, case in cases.items()}))


if __name__ == "__main__":
    main()
