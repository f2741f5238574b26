"""Polynomial programming with the random numbers of Hooper & Shekhovtsov: `python scripts/replay_polynomial.py [FILE]`.

Each of their 60 published numbers is of one run on a GPU. Its noise is known: their script (poly_p.py, commit 073ff8e)
sets seed 0 for the values of the classes, after the seed of the run, so that every run draws from torch's CUDA
generator at seed 0. The same noise in our estimators and our descent tells whether a difference from our ten runs is
due to chance or to a formula. Writes a line per method, exponent and epoch: theirs and ours, replayed. Some minutes on
one core.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from dvae_bench.bench import protocols
from dvae_bench.bench.sources.build import Layers
from dvae_bench.bench.sources.descent.descent import Epoch, descend
from dvae_bench.bench.sources.settings import DescentSettings
from dvae_bench.estimators.latents import categorical
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.toys.polynomial import Polynomial
from torch import Tensor

STORED = Path(__file__).resolve().parent.parent / "results" / "reference" / "hooper-polynomial" / "replayed.csv"
IN_EPOCH = 200
"""Steps of an epoch."""
THREADS, BLOCKS = 256, 216
"""Threads of a block of torch's random kernels, and the largest grid of the authors' GPU: of those tried, the only one
that gives the digits of GR-MC20, whose noise is the only one to need more blocks.
"""
AS_SAMPLED = {"st-gumbel-softmax:tau=0.1": "gumbel-rao:k=1,tau=0.1"}
"""The authors draw the class first and then Gumbel noise given the class: the same distribution, other numbers."""


class CudaStream:
    """The numbers that torch's CUDA generator draws from a seed, call by call.

    A call runs on at most BLOCKS blocks. Each thread has its own subsequence, and takes one block of four words from it
    per call: the first word for its own number, the others for the numbers that no thread is left for.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.calls = seed, 0

    def exponential(self, shape: tuple[int, ...]) -> Tensor:
        """E ~ Exp(1) as `Tensor.exponential_` draws it: -log u with u in (0, 1]. At most four numbers a thread."""
        count = math.prod(shape)
        threads = THREADS * min(-(-count // THREADS), BLOCKS)
        words = philox(self.seed, threads, self.calls).reshape(-1)[:count]
        self.calls += 1
        u = torch.from_numpy(words.astype(np.float32)).mul_(2.0**-32).add_(2.0**-33)
        least = torch.finfo(u.dtype).eps / 2
        return torch.where(u >= 1 - least, least, -u.log()).view(shape)


def philox(seed: int, threads: int, call: int) -> np.ndarray:
    """The four words of 32 bits of each thread at this call, [4, threads]: Philox4x32-10 (Salmon, Moraes, Dror & Shaw
    2011, Parallel random numbers: as easy as 1, 2, 3).
    """
    low = np.uint64(0xFFFFFFFF)
    a, b = np.full(threads, call, np.uint64), np.zeros(threads, np.uint64)
    c, d = np.arange(threads, dtype=np.uint64), np.zeros(threads, np.uint64)
    for i in range(10):
        key_a = np.uint64((seed + i * 0x9E3779B9) & 0xFFFFFFFF)
        key_c = np.uint64(((seed >> 32) + i * 0xBB67AE85) & 0xFFFFFFFF)
        from_a, from_c = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b = (from_c >> np.uint64(32)) ^ b ^ key_a, from_c & low
        c, d = (from_a >> np.uint64(32)) ^ d ^ key_c, from_a & low
    return np.stack([a, b, c, d])


class Theirs(Polynomial):
    """The toy with the authors' start, which the CPU generator draws at seed 0 after the values of the classes."""

    def start(self, replicates: int, generator: Any) -> Tensor:
        theirs = torch.Generator().manual_seed(0)
        torch.randn(self.k, generator=theirs)
        return torch.empty(1, self.n, self.k).uniform_(-self.WITHIN, self.WITHIN, generator=theirs)


@contextmanager
def noise_of(stream: CudaStream) -> Iterator[None]:
    """Feed categorical latents with the stream instead of their generator's numbers."""

    def log_exponential(shape: tuple[int, ...], like: Tensor, generator: Any) -> Tensor:
        return stream.exponential(shape).log()

    def gumbel(shape: tuple[int, ...], like: Tensor, generator: Any) -> Tensor:
        return -stream.exponential(shape).log()

    with patch.object(categorical, "gumbel", gumbel), patch.object(categorical, "log_exponential", log_exponential):
        yield


def replay(estimator: str, epochs: int, **values: float) -> list[Epoch]:
    """The epochs of one training with the authors' random numbers."""
    name = ESTIMATORS.canonical(Name.parse(AS_SAMPLED.get(estimator, estimator)))
    toy = Theirs("cpu", **values)
    layers = Layers(ESTIMATORS.find(name.family).load(), name.values, toy, torch.device("cpu"))
    settings = DescentSettings(IN_EPOCH * epochs, epochs, replicates=1, batch=8, lr=1e-3)
    with noise_of(CudaStream(0)):
        return descend(layers, toy, settings, 0, lambda done: None)


def main() -> None:
    protocol = protocols.load("hooper-polynomial")
    lines = []
    for method in protocol.methods:
        for p in dict.fromkeys(values["p"] for values in protocol.settings.values()):
            ours = {epoch.step: float(epoch.loss[0]) for epoch in replay(str(method.estimator), 50, p=p)}
            for setting, values in protocol.settings.items():
                if values["p"] == p:
                    step, theirs = protocol.reported[setting]["step"], method.value(setting)
                    line = {"method": method.method, "p": p, "epoch": step // IN_EPOCH, "theirs": theirs}
                    lines.append(line | {"replayed": float(f"{ours[step]:.6g}")})
                    print(*lines[-1].values(), flush=True)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else STORED
    pd.DataFrame(lines).to_csv(out, index=False)


if __name__ == "__main__":
    main()
