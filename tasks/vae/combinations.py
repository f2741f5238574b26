"""Hyper-parameters of `mnist-vae` that exclude each other, each with a sentence that names the fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...estimators.names import UsageError
from .smoothed_vae import NEEDED

OF_RBM = ("groups", "energy", "left", "negative", "chains", "sweeps")
OF_CHAINS = ("chains", "sweeps")


def refuse_combinations(task: Any) -> None:
    """Raises UsageError with the sentence of the first one that the task has."""
    for refused, sentence in _combinations(task):
        if refused:
            raise UsageError(f"mnist-vae: {sentence}")


def _combinations(task: Any) -> Iterator[tuple[bool, str]]:
    given = {name for name, rule in task.hyperparameters.items() if getattr(task, name) != rule["default"]}
    rbm, asleep, smoothed = task.prior == "rbm", task.rule == "wake-sleep", task.kl in NEEDED
    continuous, kl = task.spec.kind == "continuous", task.kl

    yield (
        kl == "l2" and task.spec.family != "gaussian",
        "kl=l2 compares means and scales: it needs arch=gaussian",
    )
    yield (
        task.prior == "trainable" and continuous,
        "a trained prior consists of logits: it needs a discrete arch",
    )
    yield (
        task.prior == "fixed" and "prior_lr" in given,
        "prior_lr is the learning rate of a trained prior: add prior=trainable",
    )
    yield (
        task.optimizer == "sgd" and "eps" in given,
        "eps is Adam's, and sgd has none: leave it out",
    )
    yield (
        task.likelihood != "gaussian" and "variance" in given,
        "variance is that of Gaussian pixels: add likelihood=gaussian",
    )
    yield (
        asleep and task.likelihood == "l2",
        "rule=wake-sleep draws images, which likelihood=l2 gives no probability: drop one",
    )
    yield (
        asleep and task.groups == 2,
        "rule=wake-sleep draws x from one group of bits: leave out groups=2",
    )
    yield (
        asleep and smoothed,
        f"rule=wake-sleep draws bits, and kl={kl} is of smoothed ones: drop one",
    )
    for name in OF_RBM:
        yield not rbm and name in given, f"{name} is a setting of an RBM: add prior=rbm"
    for name in OF_CHAINS:
        yield task.negative == "exact" and name in given, f"{name} is a setting of negative=pcd: drop negative=exact"
    yield (
        smoothed and (not rbm or task.groups == 2),
        f"kl={kl} is of one group of bits and an RBM: add prior=rbm and groups=1",
    )
    yield (
        kl == "gaussian-integral" and task.cuda_graphs == "yes",
        "kl=gaussian-integral reads a singular value of W in each step: drop cuda_graphs",
    )
    yield (
        task.energy == "exact" and (task.groups == 1 or kl == "sampled"),
        "energy=exact is of the last group's closed KL: add groups=2 and kl=analytic",
    )
