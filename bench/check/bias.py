"""The claim to be unbiased, tested against exact gradients on every toy that needs no data.

A group is tested twice: if it looks biased at level ALPHA, it is drawn afresh, and fails if it looks biased again. An
unbiased estimator therefore fails with probability ALPHA² in one group of one toy, below 5e-5 in all 45 groups.
The smallest detectable bias is the relative scale error that the first test detects with probability 95 %; if it is
above WANTED, the number of rows per block is raised as far as needed, but not above MOST.

A gradient without finite variance has no standard error to test with. But if P(q > t) falls no faster than 1/t, for q
the squared distance of a draw from the mean, then the largest of n holds a share below r of their sum with probability
at most exp(-(1 - r) / (r log n)): at the boundary the largest is n / E for an exponential E, and the sum about n log n.
Where the share is below the r at which this is UNLIKELY, the draws contradict the claim, and are tested.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...estimators.contract import Estimator, Unsupported
from ...estimators.names import Name
from ...estimators.registry import TASKS
from ...tasks.contract import Toy
from ..rows import OWN, RELAXED
from ..run.plan import sources_of
from ..run.support import kind_of
from ..sources import DRAWS
from ..sources.build import Layers
from ..sources.draws.draws import OF_F, Draws, draw_gradients
from ..sources.settings import DrawSettings
from ..statistics import bias_test as ub
from ..statistics import intervals as st
from ..statistics.moments import Moments
from ..statistics.proportion import bend_p_value, scale
from .case import Case, Failed, Skipped

ALPHA = ub.ALPHA
WANTED = 0.2
UNLIKELY = 1e-6
ROWS, MOST, AGAIN = 300, 7000, 4
SIZES = {
    "bit": ["d=4"],
    "quadratic": ["d=12"],
    "polynomial": ["n=12"],
    "category-table": ["n={1,2}"],
    "subset": ["extension=cubic"],
    "subset-distance": ["n=6,k=3"],
    "sequence": ["t=2,beta={0,0.5}"],
}
FEW = {"bit": ["d=3"], "quadratic": ["d=3"], "polynomial": ["n=3"], "bit-table": ["d=2"], "rbm-bits": ["d=1"]}
"""Sizes at which the relaxed objective is known, where it is known at any."""
TABLES = {
    "bernoulli": "bit-table",
    "categorical": "category-table",
    "subset": "subset",
    "continuous": "moments",
    "encodings": "vq-table",
    "sequence": "sequence:beta=0.5,t=2",
}


@dataclass(frozen=True)
class Findings:
    """p: the p-value of "unbiased" in each group. detectable: the smallest relative scale error detectable there.

    A group whose name ends in OWN is tested against the estimator's own relaxed objective.
    """

    draws: Draws
    p: dict[str, float]
    detectable: dict[str, float]

    def bias(self, group: str) -> float:
        """The relative bias measured in a group, corrected for its own noise."""
        moments, exact = self.draws.judged[group]
        return st.bias_norm(moments, exact).value / float(np.linalg.norm(exact))


def examine(cls: type[Estimator], values: dict[str, Any], toy: Toy, rows: int = ROWS, look: int = 0) -> Findings:
    """The findings of 64 blocks of `rows` draws, fewer if a draw is large. Raises Unsupported as the estimator does."""
    settings = DrawSettings(rows=rows, elements=2e8 * rows / ROWS, tuning_steps=20, tuning_rows=32, look=look)
    draws = draw_gradients(Layers(cls, values, toy, torch.device("cpu")), toy, settings, seed=0)
    f_scale = float(draws.moments["value"].rms.max())
    return Findings(
        draws,
        {group: ub.bias_p_value(*case, f_scale) for group, case in draws.judged.items()},
        {group: ub.smallest_detectable_bias(*case, f_scale) for group, case in draws.judged.items()},
    )


@functools.lru_cache(maxsize=256)
def _first_look(cls: type[Estimator], params: tuple[tuple[str, Any], ...], toy: Name) -> tuple[Findings, int]:
    """The findings on a toy, and the rows per block that the wanted power needed."""
    rows = ROWS
    while True:
        findings = examine(cls, dict(params), make(toy), rows)
        weakest = max((size for group, size in findings.detectable.items() if group != "value" and size > 0), default=0)
        needed = int(1.2 * rows * (weakest / WANTED) ** 2)
        if weakest <= WANTED or needed > MOST:
            return findings, rows
        rows = needed


def make(toy: Name) -> Toy:
    made = TASKS.find(toy.family).load()(**toy.values)
    assert isinstance(made, Toy)
    return made


def toys(kind: str, data: bool = False, sizes: Mapping[str, list[str]] = SIZES) -> list[Name]:
    """Every built-in toy whose top layer is of this kind: at `sizes`, and under each choice of its other parameters."""
    texts = []
    for plugin in TASKS.builtin.values():
        if DRAWS in sources_of(Name(plugin.name)) and bool(plugin.fact("dataset")) == data:
            rules, given = plugin.fact("hyperparameters", {}).items(), sizes.get(plugin.name, [])
            choices = {key: ",".join(map(str, rule["choices"])) for key, rule in rules if "choices" in rule}
            swept = [f"{k}={{{each}}}" for k, each in choices.items() if not any(g.startswith(f"{k}=") for g in given)]
            texts.append(f"{plugin.name}:{','.join(given + swept)}")
    return [toy for toy in TASKS.select(texts) if kind_of(toy) == kind]


def unbiased(case: Case) -> str:
    """If it claims to be unbiased: the mean of the draws is the target's gradient, on every toy and in every group."""
    claim = case.fresh().claim()
    if not claim.unbiased:
        return f"claims to be biased{proportional(case) if claim.proportional else ''}{_measured(case)}"
    if claim.target == RELAXED:
        return f"{_relaxed(case)}; for E f(z) it claims to be biased{_measured(case)}"
    return judge(case, toys(case.kind), own=False)


def proportional(case: Case) -> str:
    """If it claims to be unbiased up to one constant: E g = c ∇ with one c > 0, on every toy whose loss is E f alone.

    A toy's analytic part is added to the loss as it is, whatever c is.
    """
    notes: list[str] = []
    for toy, first, rows in _looks(case, toys(case.kind)):
        task = make(toy)
        if task.regulariser(task.latent(task.params())) is not None:
            continue
        bent = _bent(first) and _bent(first) & _bent(examine(case.cls, case.name.values, task, AGAIN * rows, look=1))
        if bent:
            raise Failed(f"{', '.join(sorted(bent))} on {toy}: the mean is no c > 0 times the gradient, as it claims")
        notes.append(f"{scale(*first.draws.judged['cut']).value:.3g} on {toy}")
    if not notes:
        raise Skipped("it supports no toy whose loss is E f alone")
    return f" up to a constant, {', '.join(notes)}"


def _bent(findings: Findings) -> set[str]:
    """The gradients at parameters of q whose mean is not the exact one times some c > 0."""
    judged = {group: case for group, case in findings.draws.judged.items() if group.removesuffix(OWN) not in OF_F}
    f_scale = float(findings.draws.moments["value"].rms.max())
    return {g for g, case in judged.items() if bend_p_value(*case, f_scale) < ALPHA or scale(*case).lo <= 0}


def value(case: Case) -> str:
    """If it claims to be unbiased: the mean of the value is the target, and its gradient in f's parameters as well."""
    claim = case.fresh().claim()
    if not claim.unbiased:
        raise Skipped("it claims to be biased")
    return judge(case, toys(case.kind, sizes=FEW if claim.target == RELAXED else SIZES), own=True)


def judge(case: Case, on: Iterable[Name], own: bool) -> str:
    """Raises Failed if a group is biased. own: test the groups of the value and of f's parameters, else the others."""
    claim = case.fresh().claim()
    relaxed = claim.target == RELAXED
    detectable: dict[str, float] = {}
    heavy, contradicted = False, ""
    for toy, first, rows in _looks(case, on):
        groups = [
            group for group in first.p if group.endswith(OWN) == relaxed and (group.removesuffix(OWN) in OF_F) == own
        ]
        if not own and not claim.finite_variance:
            light = [group for group in groups if light_tailed(first.draws.judged[group][0])]
            heavy |= light != groups
            groups = light
            if light:
                contradicted = contradicted or f"{light[0]} on {toy}"
        if not groups:
            continue
        doubtful = [group for group in groups if not first.p[group] >= ALPHA]
        second = examine(case.cls, case.name.values, make(toy), AGAIN * rows, look=1) if doubtful else first
        for group in doubtful:
            level = ALPHA if first.p[group] < ALPHA else ALPHA**2
            if second.p[group] < level:
                raise Failed(
                    f"{group} is biased by {second.bias(group):.1%} on {toy} (p = {first.p[group]:.1g}, then "
                    f"{second.p[group]:.1g} with fresh draws)"
                )
        judged = [group for group in groups if not math.isnan(second.p[group])]
        decoder = any(group.startswith("decoder") for group in groups)
        sizes = [first.detectable[group] for group in judged if not (decoder and group.startswith("value"))]
        detectable[str(toy)] = max(sizes, default=math.nan)
    if contradicted:
        raise Failed(
            f"it claims no finite variance, but the draws of {contradicted} have one: claim finite_variance=True"
        )
    if heavy:
        raise Skipped("it claims no finite variance: the mean of draws has no standard error to test with")
    if not detectable:
        raise Skipped("its relaxed objective is known on no toy" if relaxed else "it supports no toy")
    powerful = {toy: size for toy, size in detectable.items() if size <= WANTED}
    if not powerful:
        raise Skipped(f"its variance hides a scale error of {WANTED:.0%} on every toy, even with {64 * MOST} draws")
    weak = [toy for toy in detectable if toy not in powerful]
    note = f"a scale error of {max(powerful.values()):.1%} would be detected"
    return note + (f", but not on {', '.join(weak)}" if weak else "")


def light_tailed(moments: Moments) -> bool:
    """Whether the draws contradict a variance that is not finite; see the top of this file."""
    allowance = -math.log(UNLIKELY) * math.log(moments.n)
    return moments.peak < 1 / (1 + allowance)


def _relaxed(case: Case) -> str:
    """`judge` against the estimator's own relaxed objective, or the reason why it cannot be tested."""
    try:
        return judge(case, toys(case.kind, sizes=FEW), own=False)
    except Skipped as reason:
        return str(reason)


def _measured(case: Case) -> str:
    """The relative bias on the random table, for which no claim is made; it must run on the other toys too."""
    found = {str(toy): findings for toy, findings, _ in _looks(case, toys(case.kind))}
    table = TABLES[case.kind]
    return f"; by {found[table].bias('cut'):.1%} on {table}" if table in found else ""


def _looks(case: Case, on: Iterable[Name]) -> Iterator[tuple[Name, Findings, int]]:
    """The toys that the estimator supports, with the findings of the first test there."""
    for toy in on:
        try:
            yield toy, *_first_look(case.cls, case.name.params, toy)
        except Unsupported:
            continue
