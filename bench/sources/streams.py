"""Random streams: one generator per purpose, so that estimators share data and noise but nothing else couples them."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, purpose: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for one purpose ("data", "sample", "lower", "tuning", "evaluation", "prior") of one seed."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
