"""A training run to be killed, saved after every step: python training_process.py FOLDER STEPS.

`ready` is printed at the first step; the last state of everything is left in FOLDER/final.safetensors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from dvae_bench.bench.sources.settings import TrainSettings
from dvae_bench.bench.sources.timing.clock import Timeline
from dvae_bench.bench.sources.training import trajectory
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.sources.training.loop import train
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.estimators import estimator
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from torch import Tensor

folder, steps = Path(sys.argv[1]), int(sys.argv[2])
made: list[TrainStep] = []


class Watched(TrainStep):
    """A step that the script can look into after training."""

    def __call__(self, x: Tensor, timeline: Timeline | None = None) -> Tensor:
        if not made:
            print("ready", flush=True)
            made.append(self)
        return super().__call__(x, timeline)


torch.set_num_threads(1)
trajectory.TrainStep = Watched
Checkpoint.every = 0.0
task = MnistVae(arch="linear", batch=16, prior="trainable", optimizer="radam", schedule="cosine", warmup=3)
settings = TrainSettings(steps, 1e6, 5, images=20, iw_images=8, iw_samples=4, variance_draws=4)
checkpoint = Checkpoint(folder / "run.safetensors")
points = train(task, estimator("rebar", task.spec), settings, 0, lambda fraction: None, checkpoint)
final = {"step": made[0].state_dict(), "points": [point.metrics for point in points]}
Checkpoint(folder / "final.safetensors").save(final)
