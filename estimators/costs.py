"""The `cost` of an estimator as arithmetic: `n evaluations, 2 * D differentiations (a free note)`. No torch."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .names import UsageError

if TYPE_CHECKING:
    from .latents import LatentSpec

OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max}
WORDS = re.compile(r"(.+?) evaluations?(?:, (.+?) differentiations?)?(?: \(.*\))?")


@dataclass(frozen=True)
class Cost:
    """Evaluations and differentiations of f for one gradient draw, given D sites, K classes, S configurations of z and
    the hyper-parameters.

    For a continuous latent too, K - 1 is the number of free parameters per site. The items of a subset are D sites of
    two classes, of whose 2^D configurations it takes S.
    """

    evaluations: ast.expr
    differentiations: ast.expr

    @classmethod
    def parse(cls, text: str) -> Cost:
        """Raises UsageError unless text is `<arithmetic> evaluations[, <arithmetic> differentiations][ (note)]`."""
        match = WORDS.fullmatch(text)
        if match is None:
            raise UsageError(f"cost {text!r} is not `... evaluations[, ... differentiations][ (note)]`")
        try:
            parts = [ast.parse(part or "0", mode="eval").body for part in match.groups()]
        except SyntaxError as error:
            raise UsageError(f"cost {text!r} is not arithmetic ({error.msg})") from error
        cost = cls(*parts)
        cost.names()
        return cost

    def names(self) -> set[str]:
        """The names in its arithmetic. Raises UsageError on anything but arithmetic, min and max."""
        return _names(self.evaluations) | _names(self.differentiations)

    def at(self, sites: int, classes: int, values: Mapping[str, Any]) -> tuple[int, int]:
        """Evaluations and differentiations. Raises UsageError for an unknown name or a result that is not whole."""
        known = {"D": sites, "K": classes, **values}
        return _whole(self.evaluations, known), _whole(self.differentiations, known)


class Priced(Protocol):
    """What of an estimator its costs depend on."""

    @property
    def cost(self) -> str: ...
    @property
    def spec(self) -> LatentSpec: ...
    @property
    def hyperparameters(self) -> Mapping[str, Any]: ...


def documented(estimator: Priced) -> tuple[int, int]:
    """Evaluations and differentiations of f for its latent and hyper-parameters. Raises UsageError as `Cost` does."""
    values = {key: getattr(estimator, key) for key in estimator.hyperparameters}
    return Cost.parse(estimator.cost).at(
        *_sites_and_classes(estimator.spec), {"S": estimator.spec.configurations, **values}
    )


def _sites_and_classes(spec: LatentSpec) -> tuple[int, int]:
    """D and K; K - 1 is the number of free parameters per site, for a continuous latent too."""
    return spec.event_shape[0], spec.classes or spec.param_shape[-1] + 1


def _names(node: ast.expr) -> set[str]:
    match node:
        case ast.Constant(value=int()):
            return set()
        case ast.Name(id=name):
            return {name}
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATIONS:
            return _names(left) | _names(right)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _names(operand)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return set().union(*map(_names, arguments))
    raise UsageError(f"a cost holds whole numbers, names, + - * / // **, min and max, not `{ast.unparse(node)}`")


def _whole(node: ast.expr, known: Mapping[str, Any]) -> int:
    try:
        value = _value(node, known)
        whole = math.floor(value)
    except (ArithmeticError, KeyError, TypeError) as error:
        raise UsageError(f"the cost `{ast.unparse(node)}` has no value at {dict(known)} ({error!r})") from error
    if whole != value:
        raise UsageError(f"the cost `{ast.unparse(node)}` is not a whole number at {dict(known)}: {value}")
    return whole


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return known[name]
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](_value(left, known), _value(right, known))
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATIONS[type(op)](_value(operand, known))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name](*(_value(argument, known) for argument in arguments))
    raise TypeError(ast.unparse(node))
