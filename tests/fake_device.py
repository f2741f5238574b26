"""Every estimator on an accelerator that does not exist; prints {case: "" or what went wrong} as JSON.

Tensors of a made-up device, registered from Python and run in FakeTensorMode, have shapes but no numbers. So constants
made on the CPU and hidden host syncs (.item(), `if tensor:`, boolean masks) raise where a real device would copy or
wait. Run in a process of its own: the device is registered once and for all. Not seen here: CPU generators, 0-dim CPU
scalars, CPU index tensors.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from dvae_bench.estimators.contract import Estimate, Estimator
from dvae_bench.estimators.latents import LATENTS, Latent, LatentSpec, Objective
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.estimators.score_function.rloo import Rloo
from dvae_bench.estimators.tuning import Tuner
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "fakegpu"
SPECS = {"bernoulli": LatentSpec.bernoulli(8), "categorical": LatentSpec.categorical(3, 4)}
BATCH, PIXELS = 10, 30


class DeviceMode(FakeTensorMode):
    """FakeTensorMode that does not look for a driver."""

    avoid_device_init = property(lambda self: True)


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


def step(cls: type[Estimator], kind: str, train: bool) -> None:
    """One training step of a small VAE, with tuning and update in train(); fails unless all gradients are there."""
    spec = SPECS[kind]
    with torch.device(DEVICE):
        encoder = nn.Linear(PIXELS, math.prod(spec.param_shape))
        decoder = nn.Linear(math.prod(spec.event_shape), PIXELS)
        x, estimator = torch.rand(BATCH, PIXELS), cls(spec).train(train)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer, tuner = torch.optim.Adam(parameters), Tuner(estimator)

    def f(z: Tensor) -> Tensor:
        return (decoder(z.flatten(-len(spec.event_shape))) - x).square().sum(-1)

    for _ in range(2):
        latent = LATENTS[kind](encoder(x).unflatten(-1, spec.param_shape))
        estimate = estimator.estimate(f, latent, None)
        tuner.step(estimate.tuning_loss)
        optimizer.zero_grad()
        (estimate.spliced(latent) + latent.kl_to_uniform()).mean().backward()
        optimizer.step()
    tensors: dict[str, Any] = {"value": estimate.value} | {f"parameter {i}": p.grad for i, p in enumerate(parameters)}
    tensors |= estimator.state_dict()
    for name, tensor in tensors.items():
        assert tensor is not None, f"{name} has no gradient"
        assert tensor.device.type == DEVICE, f"{name} is on {tensor.device}"


def outcome(cls: type[Estimator], kind: str, train: bool) -> str:
    try:
        with DeviceMode():
            step(cls, kind, train)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    _setup_privateuseone_for_python_backend(DEVICE)
    cases = {f"planted-{cls.__name__}": (cls, "bernoulli", True) for cls in (ConstantOnTheCpu, HostSync)}
    for plugin in ESTIMATORS:
        for kind in plugin.facts["latents"]:
            for mode in ("train", "eval"):
                cases[f"{plugin.name}-{kind}-{mode}"] = (plugin.load(), kind, mode == "train")
    print(json.dumps({name: outcome(*case) for name, case in cases.items()}))


if __name__ == "__main__":
    main()
