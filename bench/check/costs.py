"""The recorded evaluations and differentiations of f, against the cost that the estimator documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from ...estimators.contract import Estimator, Unsupported
from ...estimators.costs import Cost, documented
from ...estimators.counting import CountedObjective
from ...estimators.latents import LatentSpec, latent_at
from ...estimators.names import UsageError, check_value
from .case import Case, Failed, require, seeded

SPECS = {
    "bernoulli": (LatentSpec.bernoulli(3), LatentSpec.bernoulli(5), LatentSpec.bernoulli(1)),
    "categorical": (LatentSpec.categorical(2, 3), LatentSpec.categorical(3, 4), LatentSpec.categorical(1, 5)),
    "subset": (LatentSpec.subset(4, 2), LatentSpec.subset(5, 2), LatentSpec.subset(3, 3)),
    "encodings": (LatentSpec.encodings(2, 2, 4), LatentSpec.encodings(3, 1, 2, "linear-codebook")),
    "continuous": (
        LatentSpec.continuous("gaussian", 3, 2),
        LatentSpec.continuous("exponential", 2, 1),
        LatentSpec.continuous("laplace", 1, 2),
    ),
    "sequence": (LatentSpec.sequence(2, 4), LatentSpec.sequence(3, 3), LatentSpec.sequence(1, 2)),
}


def cost(case: Case) -> str:
    """The evaluations and differentiations of f are those documented, for several D, K and hyper-parameters."""
    try:
        Cost.parse(case.cls.cost)
    except UsageError as error:
        raise Failed(str(error)) from error
    for spec, values in itertools.product(SPECS[case.kind], variants(case)):
        try:
            estimator = case.cls(spec, **values).eval()
        except Unsupported:
            continue
        found = recorded(estimator, spec)
        try:
            expected = documented(estimator)
        except UsageError as error:
            raise Failed(str(error)) from error
        where = f"on {spec}" + "".join(f", {key}={value}" for key, value in values.items())
        require(
            found == expected,
            f"{where}: {found[0]} evaluations and {found[1]} differentiations of f are recorded, "
            f"{expected[0]} and {expected[1]} documented",
        )
        require(
            (found[1] > 0) == case.cls.differentiates,
            f"{where}: `differentiates` is {case.cls.differentiates}, but f is differentiated {found[1]} times in z",
        )
    return case.cls.cost


def variants(case: Case) -> Iterator[dict[str, Any]]:
    """The hyper-parameters as named, then with each whole number raised by 1, then with each other choice."""
    yield case.name.values
    for key, rule in case.cls.hyperparameters.items():
        value = case.name.values.get(key, rule["default"])
        if "choices" in rule:
            others = [choice for choice in rule["choices"] if choice != value]
        else:
            others = [value + 1] if isinstance(value, int) else []
        for other in others:
            try:
                yield case.name.values | {key: check_value(case.name.family, case.cls.hyperparameters, key, other)}
            except UsageError:
                continue


def recorded(estimator: Estimator, spec: LatentSpec) -> tuple[int, int]:
    """Evaluations and differentiations of f that one gradient draw makes."""
    params = torch.randn(1, *spec.param_shape, generator=seeded(1)).requires_grad_()
    latent = latent_at(spec, params)
    counted = CountedObjective(lambda z: z.flatten(-len(spec.event_shape)).cumsum(-1).sin().sum(-1))
    estimator(counted, latent, seeded()).sum().backward(inputs=latent.tensors)
    return counted.evaluations, counted.differentiations
