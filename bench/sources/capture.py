"""A call captured as a CUDA graph, whose replay launches the same kernels without Python in between.

Written from the documentation of torch.cuda.CUDAGraph; not yet run on a GPU. torch.accelerator.Graph does not suffice:
it cannot register generators, and it only exists since torch 2.12.
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
    """A function that replays one call, and the value of the call, which every replay overwrites.

    warm_up runs first, on the stream of the capture, and allocates everything that must exist before it. The call draws
    fresh noise at every replay, from `generator` or from the device's default generator. Raises RuntimeError off CUDA,
    and the errors of the capture itself: on a host sync, a data-dependent shape, an unsupported operation.
    """
    if device.type != "cuda":
        raise RuntimeError(f"only CUDA devices capture graphs, and this device is {device}")
    cuda, stream = torch.cuda, torch.cuda.Stream(device)
    stream.wait_stream(cuda.current_stream(device))
    graph = cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with cuda.stream(stream):  # around the capture too, because a failed capture leaves its stream current
        warm_up()
        with cuda.graph(graph, stream=stream):
            answer = call()
    cuda.current_stream(device).wait_stream(stream)
    return graph.replay, answer
