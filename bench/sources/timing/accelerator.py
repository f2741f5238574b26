"""Measurements that only an accelerator allows: peak memory, kernel launches, and the time of a graph replay.

Written from the documentation of torch.accelerator and torch.profiler; not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, supported_activities

from ..capture import capture
from .clock import Clock, Timeline

WARM, REPLAYS = 3, 30


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes allocated at the peak of a call, in excess of those held before it."""
    accelerator = torch.accelerator
    accelerator.synchronize(device)
    accelerator.reset_peak_memory_stats(device)
    before = accelerator.memory_allocated(device)
    call()
    accelerator.synchronize(device)
    return accelerator.max_memory_allocated(device) - before


def launches(gradient: Callable[[], object], device: torch.device) -> int:
    """The number of kernels, copies and fills that one call launches. Raises RuntimeError without a device profiler."""
    if supported_activities() <= {ProfilerActivity.CPU}:
        raise RuntimeError("this build's profiler sees no accelerator")
    torch.accelerator.synchronize(device)
    with profile(activities=supported_activities(), acc_events=True) as profiler:  # see bench/run/tracing.py
        gradient()
        torch.accelerator.synchronize(device)
    return sum(event.device_type != DeviceType.CPU for event in profiler.events())


def replay_times(gradient: Callable[[], object], clock: Clock, device: torch.device) -> np.ndarray:
    """Microseconds of each replay of one captured call, [REPLAYS]: the time of the device without Python's launches.

    The call must draw from the device's default generator. Raises what `capture` raises.
    """
    replay, _ = capture(gradient, lambda: [gradient() for _ in range(WARM)], device)
    timeline = Timeline(clock)
    replay()
    for _ in range(REPLAYS):
        timeline.mark("replay")
        replay()
        timeline.mark("end")
    return np.array([call["replay"] for call in timeline.read_calls() if call])
