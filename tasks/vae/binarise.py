"""From grey levels to training images: five ways of preprocessing, named in every row of results.

    dataset = prepare(load_mnist(), how)                      once, before training
    x = to_batch(dataset.train[rows], how, generator)         each batch

dynamic           each pixel is 1 with probability grey/255, drawn anew for every batch
static-seeded     the same probabilities, drawn once with a fixed seed
static-larochelle the field's own fixed draw, in three text files that the user supplies
threshold         1 where grey > 127
none              grey/255 itself, as a probability
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from ...estimators.names import UsageError, nearest
from .datasets import DATA_VARIABLE, Dataset, find_in_data_folder
from .idx import uncompressed

BINARISATIONS = ("dynamic", "static-seeded", "static-larochelle", "threshold", "none")
LAROCHELLE = tuple(f"binarized_mnist_{part}.amat" for part in ("train", "valid", "test"))


def prepare(dataset: Dataset, how: str, seed: int = 0) -> Dataset:
    """The part done once: images of 0 and 255 for the static ways and threshold, unchanged for dynamic and none.

    `seed` is that of static-seeded alone; its draw is made on the CPU, the same for every device and split.
    Raises UsageError for an unknown name, and if static-larochelle's files are missing or do not fit.
    """
    if how not in BINARISATIONS:
        raise UsageError(f"unknown binarisation {how!r}{nearest(how, BINARISATIONS)}")
    if how == "static-larochelle":
        return _larochelle(dataset)
    if how == "threshold":
        return dataset.map(lambda images: _black_or_white(images > 127))
    if how == "static-seeded":
        generator = torch.Generator().manual_seed(seed)
        return dataset.map(lambda images: _black_or_white(_draw(images.cpu(), generator)).to(images.device))
    return dataset


def to_batch(images: Tensor, how: str, generator: Generator | None = None) -> Tensor:
    """Prepared images, uint8 [..., pixels], as float32 in [0, 1], on their device, where the generator is too.

    Only dynamic draws from the generator; dynamic, threshold and none accept unprepared images as well.
    """
    if how == "dynamic":
        return _draw(images, generator)
    if how == "threshold":
        return (images > 127).float()
    return images.float() / 255


def _draw(images: Tensor, generator: Generator | None) -> Tensor:
    """1 with probability x/255, exactly, else 0, float32: u is uniform on 0..254 and P(x > u) = x/255."""
    u = torch.randint(0, 255, images.shape, dtype=torch.uint8, device=images.device, generator=generator)
    return torch.gt(images, u, out=torch.empty(images.shape, dtype=torch.float32, device=images.device))


def _black_or_white(mask: Tensor) -> Tensor:
    return mask.to(torch.uint8) * 255


def _larochelle(dataset: Dataset) -> Dataset:
    if not dataset.name.startswith("mnist"):
        raise UsageError(
            "static-larochelle is a draw of MNIST's digits: choose another binarisation for your own images"
        )
    files = find_in_data_folder(*LAROCHELLE)
    if len(files) < 3:
        raise UsageError(
            f"static-larochelle needs {', '.join(LAROCHELLE)}: "
            f"put them in a folder with MNIST's own files, or in its mnist/, and set {DATA_VARIABLE} to it"
        )
    train, valid, test = (_read_amat(files[name]) for name in LAROCHELLE)
    if not len(dataset.valid):
        train, valid = torch.cat([train, valid]), train[:0]
    fixed = [len(train), len(valid), len(test)]
    wanted = [len(dataset.train), len(dataset.valid), len(dataset.test)]
    if fixed != wanted:
        raise UsageError(
            f"static-larochelle's files have {fixed} images to train, validate and test, {dataset.name} "
            f"{dataset.split} has {wanted}: use the full MNIST and the complete {', '.join(LAROCHELLE)}"
        )
    return replace(dataset, train=train, valid=valid, test=test).to(dataset.train.device)


def _read_amat(path: Path) -> Tensor:
    """One image per line, 784 digits 0 or 1 between spaces, as uint8 [N, 784] of 0 and 255."""
    text = np.frombuffer(uncompressed(path), dtype=np.uint8)
    digits = text[text > ord(" ")] - ord("0")
    if not len(digits) or len(digits) % 784 or digits.max() > 1:
        raise UsageError(f"{path} is not lines of 784 digits 0 or 1: download it again")
    return _black_or_white(torch.from_numpy(digits.reshape(-1, 784)))
