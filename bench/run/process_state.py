"""Global state of a process that a plugin may change: random states, torch's switches, the working directory, ..."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial, reduce
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch

BACKENDS = (
    "fp32_precision",
    "cuda.matmul.fp32_precision",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cudnn.fp32_precision",
    "cudnn.conv.fp32_precision",
    "cudnn.rnn.fp32_precision",
    "cudnn.enabled",
    "cudnn.benchmark",
    "cudnn.deterministic",
    "mkldnn.fp32_precision",
    "mkldnn.matmul.fp32_precision",
    "mkldnn.conv.fp32_precision",
    "mkldnn.rnn.fp32_precision",
    "mkldnn.enabled",
    "mkldnn.deterministic",
)


class Setting(NamedTuple):
    """One piece of global state; read() returns a value that can be compared and passed to write()."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


@cache
def shared_state(device: str) -> tuple[Setting, ...]:
    """Every setting that is guarded when measuring on this type of device, in the order in which they are restored."""
    for name in ("torch._dynamo", "scipy.stats"):  # imported on first use, they change environment and warning filters
        import_module(name)
    return (*_torch(device), *_python())


def _python() -> Iterator[Setting]:
    yield Setting("Python's random state", random.getstate, random.setstate)
    yield Setting("numpy's random state", _numpy_state, _set_numpy_state)
    yield Setting("numpy's handling of errors", np.geterr, lambda before: np.seterr(**before))
    yield Setting("the folder it works in", os.getcwd, os.chdir)
    yield Setting("environment variables", os.environ.copy, _set_environment)
    yield Setting("the warning filters", lambda: list(warnings.filters), _set_filters)
    yield Setting("garbage collection", gc.isenabled, lambda before: gc.enable() if before else gc.disable())
    for each in (signal.SIGINT, signal.SIGTERM):
        yield Setting(f"what {each.name} does", partial(signal.getsignal, each), partial(_set_signal, each))


def _torch(device: str) -> Iterator[Setting]:
    yield Setting("the default device", torch.get_default_device, _set_default_device)
    yield Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield Setting("float32 matmul precision", _matmul_precision, _set_matmul_precision)
    for path in BACKENDS:
        yield _backend(path)
    yield Setting("torch's random state", _bytes_of(torch.get_rng_state), _from_bytes(torch.set_rng_state))
    yield Setting("the number of threads", torch.get_num_threads, torch.set_num_threads)
    yield Setting("whether gradients are recorded", torch.is_grad_enabled, torch.set_grad_enabled)
    yield Setting("anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly)
    yield Setting("deterministic algorithms", _deterministic, lambda before: _set_deterministic(*before))
    for each in dict.fromkeys(["cpu", device]):
        yield Setting(f"autocast on {each}", partial(_autocast, each), partial(_set_autocast, each))
    if device != "cpu":
        module = torch.get_device_module(device)
        yield Setting(
            f"the random state of {device}", _bytes_of(module.get_rng_state), _from_bytes(module.set_rng_state)
        )


def _backend(path: str) -> Setting:
    *outer, name = path.split(".")
    owner = reduce(getattr, outer, torch.backends)
    return Setting(f"torch.backends.{path}", partial(getattr, owner, name), partial(setattr, owner, name))


def _numpy_state() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return kind, keys.tobytes(), *rest


def _set_numpy_state(before: tuple[Any, ...]) -> None:
    kind, keys, *rest = before
    np.random.set_state((kind, np.frombuffer(keys, dtype=np.uint32), *rest))


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(before)  # type: ignore[attr-defined]


def _set_signal(number: signal.Signals, before: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, before)


def _matmul_precision() -> str | None:
    """None when torch cannot say, because both of its APIs for the setting were used."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_matmul_precision(before: str | None) -> None:
    if before is not None:
        torch.set_float32_matmul_precision(before)


def _bytes_of(get: Callable[[], torch.Tensor]) -> Callable[[], bytes]:
    return lambda: get().numpy().tobytes()


def _from_bytes(put: Callable[[torch.Tensor], None]) -> Callable[[bytes], None]:
    return lambda state: put(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _set_default_device(before: torch.device) -> None:
    torch.set_default_device(None if before.type == "cpu" else before)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(enabled: bool, warn_only: bool) -> None:
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def _autocast(device: str) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _set_autocast(device: str, before: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled(device, before[0])
    torch.set_autocast_dtype(device, before[1])
