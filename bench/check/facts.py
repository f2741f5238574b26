"""The facts of the class body, and what the estimator claims."""

from __future__ import annotations

import re

from ...estimators.contract import Claim, Estimator
from ...estimators.costs import Cost
from ...estimators.latents import KINDS
from ...estimators.names import UsageError, check_value
from ...estimators.registry import ESTIMATORS, Plugin
from .case import Case, Failed, require

NAME = re.compile(r"[a-z0-9][a-z0-9+-]*")
TARGETS = ("discrete", "own-relaxed", "bound", "other-law", "penalised", "none")
OF_ITS_OWN = {
    "bound": "a bound of its own",
    "other-law": "E f under another distribution than q",
    "penalised": "E f plus a penalty on q",
}
REQUIRED = {"name": str, "latents": tuple, "cost": str, "reference": str}
OPTIONAL = {"aliases": tuple, "differentiates": bool, "bound": bool, "hyperparameters": dict}


def declared(plugin: Plugin, cls: type[Estimator]) -> None:
    """Raises Failed unless the facts of the class body are valid literals, and the class has a docstring."""
    require(isinstance(cls, type) and issubclass(cls, Estimator), f"{plugin.attribute} does not derive from Estimator")
    for key in REQUIRED:
        require(bool(getattr(cls, key, None)), f"the class body has no `{key}`")
    unread = {*REQUIRED, *OPTIONAL}.intersection(cls.__dict__) - set(plugin.facts) if plugin.facts else ()
    require(not unread, f"list and show read literals only, which these are not: {', '.join(sorted(unread))}")
    for key, kind in (REQUIRED | OPTIONAL).items():
        require(isinstance(getattr(cls, key), kind), f"`{key}` must be a {kind.__name__}")
    require(set(cls.latents) <= set(KINDS), f"latents must be of {', '.join(KINDS)}, got {cls.latents}")
    require(cls.name == plugin.name, f"the class is called {cls.name!r}, but registered as {plugin.name!r}")
    taken = {name for other in ESTIMATORS if other != plugin for name in other.names}
    for name in (cls.name, *cls.aliases):
        require(NAME.fullmatch(name) is not None, f"{name!r} is not a valid name: use lower case, digits, - and +")
        require(name not in taken, f"another estimator is called {name!r} too")
    _arithmetic(cls)
    require(bool(cls.__dict__.get("__doc__")), "the class has no docstring: write one with the formula")


def _arithmetic(cls: type[Estimator]) -> None:
    try:
        for key, rule in cls.hyperparameters.items():
            check_value(cls.name, cls.hyperparameters, key, rule["default"])
            require(isinstance(rule.get("about", ""), str), f"`about` of {key} must be a str")
        names = Cost.parse(cls.cost).names() - {"D", "K", "S", *cls.hyperparameters}
    except KeyError as error:
        raise Failed(f"a rule of hyperparameters has no {error}") from error
    except UsageError as error:
        raise Failed(str(error)) from error
    require(not names, f"cost {cls.cost!r} uses {', '.join(sorted(names))}, which is no hyper-parameter, D, K or S")


def facts(case: Case) -> str:
    """The facts are valid literals, the class has a docstring, and claim() returns a Claim, of a target that it has."""
    declared(case.plugin, case.cls)
    estimator = case.fresh()
    for key in case.cls.hyperparameters:
        require(hasattr(estimator, key), f"the constructor does not set {key}: call super().__init__(spec, **values)")
    claim = estimator.claim()
    require(isinstance(claim, Claim), f"claim() returns {type(claim).__name__}, not a Claim")
    require(claim.target in TARGETS, f"the claim's target is {claim.target!r}, not one of {', '.join(TARGETS)}")
    require(
        claim.target not in OF_ITS_OWN or case.cls.target is not Estimator.target,
        f"it claims to estimate the gradient of {OF_ITS_OWN.get(claim.target)}, but its `target` is E_q f: define "
        "target(f, latent)",
    )
    return f"{claim.target}, {'unbiased' if claim.unbiased else 'biased'}"
