"""The generator determines the estimate: nothing random comes from elsewhere."""

from __future__ import annotations

import copy

import torch

from .case import Case, answer, require, seeded, worst

BATCH = 32


def determinism(case: Case) -> str:
    """The same generator state gives the same estimate, another gives another, and no global generator moves."""
    estimator, params = case.tuned(), case.params(BATCH)
    first, second = answer(case, estimator, params), answer(case, estimator, params, elsewhere=1)
    require(not first.global_moved, "it moves torch's global generator: draw from the one that sample() is given")
    for (what, once), (_, again) in zip(first.tensors, second.tensors, strict=True):
        off = worst(again, once)
        require(off == 0, f"the same generator state gives another {what}, off by {off:.2g}")
    generator = seeded()
    copy.deepcopy(estimator).sample(case.latent(params), generator)
    other = answer(case, estimator, params, seed=1)
    same = all(torch.equal(a, b) for (_, a), (_, b) in zip(first.tensors, other.tensors, strict=True))
    if torch.equal(generator.get_state(), seeded().get_state()):
        require(same, "the estimate differs, but sample() has not used its generator")
        return "deterministic"
    require(not same, "sample() uses its generator, but another seed gives the same estimate")
    require(estimator.claim().random, "it claims to draw nothing, but another seed gives another estimate")
    return ""
