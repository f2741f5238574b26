"""Setting the hyper-parameters of an estimator that exists already."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from .names import Unsupported, UsageError, resolve

Estimator = Any
"""estimators.contract.Estimator, which imports this file."""


class Made(ABCMeta):
    """The metaclass of estimators: it marks one as made once its __init__ has returned.

    Setting a hyper-parameter as an attribute then goes through `Estimator.set`.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.__dict__["_made"] = True
        return made


def set_values(estimator: Estimator, values: Mapping[str, Any]) -> None:
    """Give an estimator these hyper-parameters, and everything that its __init__ makes of them.

    Which state that is shows by making one with the new value and one with another: where they differ, the estimator
    takes the new state. The rest, learned and running, stays. Raises UsageError for a bad value, and for one that
    decides which parameters and buffers there are.
    """
    own = {key: getattr(estimator, key) for key in estimator.hyperparameters}
    new = resolve(estimator.name, estimator.hyperparameters, {**own, **values})
    after = _made(estimator, new)
    moves = []
    for key in values:
        alike = (each for each in _others(estimator, new, key, own[key]) if _structure(each) == _structure(after))
        before = next(alike, None)
        if before is None or _structure(after) != _structure(estimator):
            raise UsageError(
                f"{key} decides which parameters and state {estimator.name} has: make another one, "
                f'estimator("{after!r}", spec)'
            )
        moves.append(before)
    for before in moves:
        _move(estimator, before, after)


def _made(estimator: Estimator, values: Mapping[str, Any]) -> Estimator:
    """Another one, on the CPU, from the same random numbers each time, which are not the caller's."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(0)
        return type(estimator)(estimator.spec, **values)


def _others(estimator: Estimator, new: Mapping[str, Any], key: str, own: Any) -> Iterator[Estimator]:
    """The same with other values of one hyper-parameter, as far as they are allowed."""
    rule, value = estimator.hyperparameters[key], new[key]
    near = () if isinstance(value, str) else (value + 1, value - 1, 2 * value, value / 2)
    for other in (own, rule["default"], *rule.get("choices", ()), *near):
        if other != value:
            with suppress(UsageError, Unsupported):
                yield _made(estimator, {**new, key: other})


def _structure(estimator: Estimator) -> list[tuple[str, Any]]:
    tensors = [(name, tensor.shape) for name, tensor in estimator.state_dict().items()]
    return [*((name, type(module)) for name, module in estimator.named_modules()), *tensors]


def _move(estimator: Estimator, before: Estimator, after: Estimator) -> None:
    for own, old, new in zip(estimator.modules(), before.modules(), after.modules(), strict=True):
        for name, value in vars(new).items():
            if not name.startswith("_") and name != "training" and _differ(vars(old).get(name), value):
                vars(own)[name] = value
    states = (each.state_dict().values() for each in (estimator, before, after))
    with torch.no_grad():
        for state, old_state, new_state in zip(*states, strict=True):
            if _differ(old_state, new_state):
                state.copy_(new_state)


def _differ(old: Any, new: Any) -> bool:
    if isinstance(old, Tensor) and isinstance(new, Tensor):
        return not torch.equal(old, new)
    return (old != new) is not False
