"""Speed paths of training: bfloat16 networks, compiled networks, the step as a CUDA graph. All are off by default."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...estimators.names import UsageError
from .latent_model import LatentModel

PATHS = ("autocast", "compile", "cuda_graphs")


def check_speed(device: torch.device, values: Mapping[str, Any]) -> None:
    """Raises UsageError if these hyper-parameters of a task ask for a path that this machine does not have."""
    compiled, graphs = (values.get(path, "no") == "yes" for path in ("compile", "cuda_graphs"))
    if values.get("autocast", "no") == "bf16" and not _has_bf16(device):
        raise UsageError(f"autocast=bf16: {device} has no bfloat16 arithmetic; leave autocast out")
    if compiled and graphs:
        raise UsageError("compile=yes and cuda_graphs=yes are two ways to run one step; choose one of them")
    if graphs and device.type != "cuda":
        raise UsageError(f"cuda_graphs=yes needs a CUDA device, and this is {device}; leave cuda_graphs out")
    if compiled and device.type == "cpu" and shutil.which(compiler := cpp_compiler()) is None:
        raise UsageError(f"compile=yes needs a C++ compiler, and there is no {compiler}; install it or set CXX to one")


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.amp.is_autocast_available(device.type)


def cpp_compiler() -> str:
    """The compiler that torch.compile calls for the CPU."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def in_bf16(model: LatentModel) -> None:
    """Make encoder and decoder of every layer compute in bfloat16 and return float32, in train(), not in eval().

    Their outputs, the parameters of q and the decoder's logits, are rounded to 8 bits. Likelihood, KL and estimator
    stay in float32.
    """
    for layer in model.models():
        for network in layer.networks():
            for part in network if isinstance(network, nn.ModuleList) else (network,):
                _cast(part)


def _cast(network: nn.Module) -> None:
    plain = network.forward

    def forward(x: Tensor) -> Tensor:
        if not network.training:
            return plain(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            return plain(x).float()

    network.forward = forward


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Put the model in eval() inside the block: its networks compute in float32, whatever they train in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
