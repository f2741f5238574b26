"""Time of our training step over the deterministic floor, in one process: `floor_steps.py OURS ARCH [PAIRS]`.

Prints the ratio as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

import torch
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from pairing import LEAST, paired_ratio
from torch.nn.functional import binary_cross_entropy_with_logits


def floor_step(task: MnistVae) -> Callable[[torch.Tensor], None]:
    """Encoder, squash, decoder, cross-entropy, backward, fused Adam: no sampling, no KL. So in each layer, whose data
    are the squashed values of the one before."""
    vae = task.model(0)
    optimizer = task.make_optimizer(vae)

    def loss(vae: Vae, x: torch.Tensor) -> torch.Tensor:
        z = vae.latent(vae.encode(x)).mean
        logits = vae.decoder(z.flatten(-len(vae.spec.event_shape)))
        own = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return own if vae.deeper is None else own + loss(vae.deeper, z)

    def step(x: torch.Tensor) -> None:
        value = loss(vae, x).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def main(ours: str, arch: str, pairs: str = str(LEAST)) -> None:
    steady_host(threads=1)
    task = MnistVae(arch=arch)
    x = next(task.batches(stream(0, "data")))
    step, floor = TrainStep(task, estimator(ours, *task.layers), seed=0), floor_step(task)
    print(json.dumps(asdict(paired_ratio(lambda: step(x), lambda: floor(x), int(pairs)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
