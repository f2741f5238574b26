"""Two small IDX files in MNIST's place, and what a test of finding them starts with."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dvae_bench.tasks.vae import datasets
from dvae_bench.tasks.vae.datasets import DATA_VARIABLE, TEST, TRAIN

RNG = np.random.default_rng(1)
FILES = {
    name: struct.pack(">4i", 0x803, n, 28, 28) + RNG.integers(0, 256, n * 784, dtype=np.uint8).tobytes()
    for name, n in ((TRAIN, 60), (TEST, 10))
}


def forget() -> None:
    """Images are read once a process."""
    datasets._load.cache_clear()
    datasets._images.cache_clear()


def nothing_found_yet(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[None]:
    """No data folder, an empty user cache, and nothing remembered before or after."""
    monkeypatch.delenv(DATA_VARIABLE)
    monkeypatch.setattr("pooch.os_cache", lambda project: cache)
    forget()
    yield
    forget()


def take_for_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checksums of FILES be the pinned ones."""
    for name, payload in FILES.items():
        monkeypatch.setitem(datasets.SHA256, name, hashlib.sha256(payload).hexdigest())


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def own_files(folder: Path, train: int = 40, test: int = 12, height: int = 6, width: int = 5) -> Path:
    """Two IDX files of random images in a new folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    for name, n in ((TRAIN, train), (TEST, test)):
        images = rng.integers(0, 256, n * height * width, dtype=np.uint8).tobytes()
        (folder / name).write_bytes(struct.pack(">4i", 0x803, n, height, width) + images)
    return folder
