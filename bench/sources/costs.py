"""Deterministic costs: the operations of one gradient in torch, the same on every machine and in every repetition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SYNCS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}
MASKED = {"index", "index_put", "index_put_", "_index_put_impl_"}


@dataclass(frozen=True)
class Costs:
    """operations: ATen operations dispatched, views included. bytes: the size of the new storages they return.

    syncs: operations whose result the host must wait for (`.item()`, `if tensor`, boolean masks, copies to the CPU). On
    the CPU `.tolist()` and `.numpy()` read memory without dispatching an operation, so they are not counted.
    """

    operations: int
    bytes: int
    syncs: int


def count_costs(gradient: Callable[[], object]) -> Costs:
    """The costs of one call of `gradient`, backward included: of the second call, since the first may fill caches."""
    gradient()
    with _Counter() as counter:
        gradient()
    return Costs(counter.operations, counter.bytes, counter.syncs)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = self.syncs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        given = list(_tensors((args, kwargs)))
        returned = list(_tensors(answer))
        known = {tensor.untyped_storage()._cdata for tensor in given}
        fresh = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in returned}
        self.operations += 1
        self.bytes += sum(storage.nbytes() for key, storage in fresh.items() if key not in known)
        self.syncs += _waits(func.overloadpacket.__name__, args, given, returned)
        return answer


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _waits(name: str, args: Any, given: list[Tensor], returned: list[Tensor]) -> bool:
    """Whether the host must wait for the device before this operation returns."""
    if name in MASKED:
        return any(index.dtype in (torch.bool, torch.uint8) for index in _tensors(args[1]))
    to_host = any(tensor.is_cpu for tensor in returned) and any(not tensor.is_cpu for tensor in given)
    return name in SYNCS or to_host
