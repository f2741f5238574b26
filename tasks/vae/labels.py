"""The digits that MNIST's training images show. No model here learns from them but the classifier to be explained."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ...estimators.names import Unsupported, UsageError
from . import idx
from .datasets import DATA_VARIABLE, find_in_data_folder, load_mnist

LABELS = "train-labels-idx1-ubyte"
SHA256 = "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
_HEADER = 8


def load_labels() -> Tensor:
    """The digit 0 to 9 of each of MNIST's 60,000 training images, [60000].

    Raises Unsupported if there are only the embedded images or no labels beside them, UsageError for a corrupt file.
    """
    files = find_in_data_folder(LABELS)
    if load_mnist().name != "mnist" or not files:
        raise Unsupported(
            f"a classifier needs MNIST's labels: put {LABELS}.gz beside the images in a folder, and set "
            f"{DATA_VARIABLE} to it"
        )
    payload = idx.uncompressed(files[LABELS])
    if hashlib.sha256(payload).hexdigest() != SHA256:
        raise UsageError(f"{files[LABELS]} does not hold MNIST's training labels: replace it")
    return torch.frombuffer(bytearray(payload), dtype=torch.uint8, offset=_HEADER).long()
