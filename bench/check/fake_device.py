"""Training steps of an estimator on a fake device, in a process for such steps alone.

Tensors of a made-up device, registered from Python and run in FakeTensorMode, have shapes but no numbers. So hidden
host syncs (.item(), `if tensor:`, boolean masks) raise where a real device would wait, and every tensor made on the CPU
is seen. Generators of the wrong device are not seen. A device cannot be unregistered, hence the process.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from ...estimators.latents import latent_at
from ...estimators.names import Name
from ...estimators.registry import ESTIMATORS
from ...estimators.tuning import Tuner
from .case import Case

DEVICE = "fakegpu"
BATCH, PIXELS = 10, 30


class DeviceMode(FakeTensorMode):
    """FakeTensorMode that does not look for a driver."""

    avoid_device_init = property(lambda self: True)


class CpuTensor(Exception):
    """A tensor was made on the CPU."""


class NothingOnTheCpu(TorchDispatchMode):
    """Refuses every operation that makes a tensor on the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) and leaf.device.type == "cpu" for leaf in tree_leaves(answer)):
            raise CpuTensor(f"{func.overloadpacket.__name__} makes a tensor on the CPU, to be copied to the device")
        return answer


@functools.cache
def register() -> None:
    _setup_privateuseone_for_python_backend(DEVICE)


def outcome(run: Callable[[], None]) -> str:
    """The error of `run` in one line; "" if there is none."""
    try:
        with DeviceMode():
            run()
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def training_steps(case: Case, train: bool) -> None:
    """Two steps of a small VAE, with tuning and update in train(). Raises if a gradient is missing or elsewhere."""
    spec = case.spec
    with torch.device(DEVICE):
        encoder = nn.Linear(PIXELS, math.prod(spec.param_shape))
        decoder = nn.Linear(math.prod(spec.event_shape), PIXELS)
        x, estimator = torch.rand(BATCH, PIXELS), case.cls(spec, **case.name.values).train(train)
        template = latent_at(spec, torch.zeros(spec.param_shape))
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer, tuner = torch.optim.SGD(parameters, 0.1), Tuner(estimator)

    def f(z: Tensor) -> Tensor:
        return (decoder(z.flatten(-len(spec.event_shape))) - x).square().sum(-1)

    for _ in range(2):
        with NothingOnTheCpu():
            latent = template.at(encoder(x).unflatten(-1, spec.param_shape))
            estimate = estimator.estimate(f, latent, None)
            loss = (estimate.spliced(latent) + latent.kl_to_prior()).mean()
        tuner.step(estimate.tuning_loss)
        optimizer.zero_grad()
        with NothingOnTheCpu():
            loss.backward()
        optimizer.step()
    tensors: dict[str, Any] = {"value": estimate.value} | {f"parameter {i}": p.grad for i, p in enumerate(parameters)}
    tensors |= estimator.state_dict()
    for name, tensor in tensors.items():
        assert tensor is not None, f"{name} has no gradient"
        assert tensor.device.type == DEVICE, f"{name} is on {tensor.device}"


def steps(case: Case) -> str:
    """Training steps in train() and in eval(): "" or the error."""
    for train in (True, False):
        wrong = outcome(partial(training_steps, case, train))
        if wrong:
            return f"{'train' if train else 'eval'}(): {wrong}"
    return ""


@functools.cache
def control() -> str:
    """The error of a built-in estimator, which is not the estimator's: "" where the fake device works here."""
    reinforce = ESTIMATORS.find("reinforce")
    return steps(Case(reinforce, Name("reinforce"), reinforce.load(), "bernoulli"))
