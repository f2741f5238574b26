"""A timer for pytest-benchmark that counts only the time that training steps spend in one phase."""

from __future__ import annotations

from dvae_bench.bench.sources.timing.clock import Timeline, clock_for, device_from

DEVICE = device_from("auto")


class PhaseTimer:
    """Seconds that the steps marked on `timeline` have spent in a phase so far; each call waits for the accelerator."""

    def __init__(self, phase: str) -> None:
        self.phase, self.spent = phase, 0.0
        self.timeline = Timeline(clock_for(DEVICE))

    def __call__(self) -> float:
        self.spent += 1e-6 * self.timeline.read().get(self.phase, 0.0)
        return self.spent
