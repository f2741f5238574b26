"""A call captured as a CUDA graph: a replay launches its kernels, and Python does nothing in between.

Written to the documentation of torch.cuda.CUDAGraph; not yet run on a GPU. torch.accelerator.Graph would not do: it
registers no generators, and torch has it from 2.12 on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator

T = TypeVar("T")


def capture(
    call: Callable[[], T],
    warm_up: Callable[[], object],
    device: torch.device,
    generator: Generator | None = None,
) -> tuple[Callable[[], object], T]:
    """The replay of one call, and the call's answer, which every replay overwrites.

    warm_up runs before, on the stream of the capture, and makes what must exist by then. The call draws fresh noise at
    every replay, from `generator` or the device's default one. Raises what the capture raises: a host sync, a shape
    that depends on data, an unsupported operation.
    """
    if device.type != "cuda":
        raise RuntimeError(f"graphs are captured on CUDA devices, and this is {device}")
    cuda, stream = torch.cuda, torch.cuda.Stream(device)
    stream.wait_stream(cuda.current_stream(device))
    graph = cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with cuda.stream(stream):  # around the capture too, which leaves its stream current where it fails
        warm_up()
        with cuda.graph(graph, stream=stream):
            answer = call()
    cuda.current_stream(device).wait_stream(stream)
    return graph.replay, answer
