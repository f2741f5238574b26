"""The modes of torch in which an estimator computes: f in the caller's, everything else outside autocast and inference.

Autocast would round matrix products of the estimator's own to half precision, and the gradients that some estimators
take inside cannot be taken in inference mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from .latents import Latent, Objective
from .names import UsageError


def ordinary(params: Tensor) -> bool:
    """Whether neither autocast nor inference mode is on."""
    # The type of a device as a string takes torch longer to make than all else here.
    if torch.is_autocast_enabled("cpu" if params.is_cpu else params.device.type):
        return False
    # A compiled graph would break at the questions for inference mode.
    return torch.compiler.is_compiling() or not (torch.is_inference_mode_enabled() or params.is_inference())


@contextmanager
def apart(f: Objective, latent: Latent) -> Iterator[tuple[Objective, Latent]]:
    """The f and the latent to estimate with inside the block, which leaves both modes; f returns to autocast.

    Raises UsageError if f is to be differentiated and uses tensors that were made in inference mode.
    """
    with ExitStack() as modes:
        if torch.is_autocast_enabled(latent.params.device.type):
            f = _in_autocast(f, latent.params.device.type)
            modes.enter_context(torch.autocast(latent.params.device.type, enabled=False))
        if torch.is_inference_mode_enabled() or latent.params.is_inference():
            no_gradients = torch.is_inference_mode_enabled() or not torch.is_grad_enabled()
            modes.enter_context(torch.inference_mode(False))
            modes.enter_context(torch.set_grad_enabled(not no_gradients))
            latent = latent.at(latent.params.clone())
        try:
            yield f, latent
        except RuntimeError as error:
            if "Inference tensor" not in str(error):
                raise
            raise UsageError(
                "this estimator differentiates f, whose tensors were made in torch.inference_mode(): "
                f"use torch.no_grad() in its place ({error})"
            ) from error


def _in_autocast(f: Objective, device: str) -> Objective:
    """f under the autocast that is on now."""
    dtype, cache = torch.get_autocast_dtype(device), torch.is_autocast_cache_enabled()

    def objective(z: Tensor) -> Tensor:
        with torch.autocast(device, dtype, cache_enabled=cache):
            return f(z)

    return objective
