"""CUDA graphs are captured on a stream of their own; shown on a stand-in for torch.cuda that records its calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from dvae_bench.bench.sources import capture as module
from dvae_bench.bench.sources.capture import capture

DEVICE = torch.device("cuda", 1)


class PretendCuda:
    """One stream beside the current one; notes which stream is current at each call."""

    def __init__(self) -> None:
        self.current, self.notes = "the current stream", list[str]()

    def note(self, text: str) -> None:
        self.notes.append(f"{text} on {self.current}")

    def Stream(self, device: torch.device) -> SimpleNamespace:
        return self.handle(f"a stream of {device}")

    def current_stream(self, device: torch.device) -> SimpleNamespace:
        assert device == DEVICE
        return self.handle(self.current)

    def handle(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, wait_stream=lambda other: self.notes.append(f"{name} waits for {other.name}"))

    @contextmanager
    def stream(self, stream: SimpleNamespace) -> Iterator[None]:
        before, self.current = self.current, stream.name
        try:
            yield
        finally:
            self.current = before

    def CUDAGraph(self) -> SimpleNamespace:
        return SimpleNamespace(
            register_generator_state=lambda generator: self.note(f"{generator} is registered"),
            replay=lambda: self.note("replay"),
        )

    @contextmanager
    def graph(self, graph: SimpleNamespace, stream: SimpleNamespace) -> Iterator[None]:
        """As torch's, which leaves the stream of a capture that fails current."""
        before, self.current = self.current, stream.name
        self.note("capture begins")
        yield
        self.note("capture ends")
        self.current = before


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> PretendCuda:
    pretended = PretendCuda()
    monkeypatch.setattr(module, "torch", SimpleNamespace(cuda=pretended))
    return pretended


def test_a_call_is_captured_once_on_a_stream_of_its_own(cuda: PretendCuda) -> None:
    def call() -> int:
        cuda.note("call")
        return 42

    replay, answer = capture(call, lambda: cuda.note("warm-up"), DEVICE, generator="a generator")  # type: ignore[arg-type]
    assert answer == 42
    replay()
    here, own = "the current stream", "a stream of cuda:1"
    assert cuda.notes == [
        f"{own} waits for {here}",
        f"a generator is registered on {here}",
        f"warm-up on {own}",
        f"capture begins on {own}",
        f"call on {own}",
        f"capture ends on {own}",
        f"{here} waits for {own}",
        f"replay on {here}",
    ]


def test_a_capture_that_fails_leaves_the_current_stream(cuda: PretendCuda) -> None:
    def sync() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        capture(sync, lambda: None, DEVICE)
    assert cuda.current == "the current stream"


def test_another_makers_device_is_refused() -> None:
    with pytest.raises(RuntimeError, match="only CUDA devices capture graphs, and this device is xpu"):
        capture(lambda: None, lambda: None, torch.device("xpu"))
