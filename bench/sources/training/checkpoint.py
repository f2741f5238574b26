"""An unfinished training on disk: tensors in the safetensors format, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ...rows import Quantity
from ...store.files import UNSEALED, Damaged, is_sound, read_file, read_object, replace_file, sealed
from ..source import InFlight

MOST_BYTES = 2**34
_SEAL = b'"sha256":"'  # in the header, which precedes the tensors


class Checkpoint(InFlight):
    """The state of one training run in one file, due whenever `every` seconds have passed since the last save.

    A state consists of dicts, lists and tuples of tensors, arrays, Quantities, numbers and strings. It is restored
    exactly, with tensors on the CPU. Reading cannot execute code. Without a path nothing is kept.
    """

    every = 180.0

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.last, self.damaged = path, time.perf_counter(), False

    @property
    def due(self) -> bool:
        return self.path is not None and time.perf_counter() - self.last >= self.every

    def save(self, state: dict[str, Any]) -> None:
        if self.path is not None:
            tensors: list[Tensor] = []
            about = {"state": json.dumps(_describe(state, tensors)), "sha256": UNSEALED.decode()}
            content = save({str(k): tensor for k, tensor in enumerate(tensors)}, about)
            replace_file(self.path, sealed(content, content.index(_SEAL) + len(_SEAL)))
            self.last = time.perf_counter()

    def load(self) -> dict[str, Any] | None:
        """The state saved last; None when there is none, and when it is damaged, which sets `damaged`."""
        if self.path is None or not os.path.lexists(self.path):
            return None
        try:
            content = read_file(self.path, MOST_BYTES)
            place = content.find(_SEAL)
            if place < 0 or not is_sound(content, place + len(_SEAL)):
                raise Damaged("its checksum does not match its content")
            length = int.from_bytes(content[:8], "little")
            header = read_object(content[8 : 8 + length])
            return _restore(json.loads(header["__metadata__"]["state"]), load(content))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
            self.damaged = True
            return None

    def clear(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _describe(value: Any, tensors: list[Tensor]) -> Any:
    """JSON in which {"tensor": k} stands for the k-th of `tensors`; keys of dicts need not be strings."""
    if isinstance(value, Tensor):
        tensors.append(value.detach().cpu().clone(memory_format=torch.contiguous_format))
        return {"tensor": len(tensors) - 1}
    if isinstance(value, np.ndarray):
        return {"array": _describe(torch.from_numpy(value), tensors)}
    if isinstance(value, Quantity):
        return {"quantity": asdict(value)}
    if isinstance(value, dict):
        return {"dict": [[key, _describe(each, tensors)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_describe(each, tensors) for each in value]}
    return value


def _restore(described: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(described, dict):
        return described
    ((kind, content),) = described.items()
    if kind == "tensor":
        return tensors[str(content)]
    if kind == "array":
        return _restore(content, tensors).numpy()
    if kind == "quantity":
        return Quantity(**content)
    if kind == "dict":
        return {key: _restore(each, tensors) for key, each in content}
    return (tuple if kind == "tuple" else list)(_restore(each, tensors) for each in content)
