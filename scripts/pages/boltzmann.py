"""Does the ranking of estimators change under a Boltzmann prior? The answer of docs/seed-document.md, and of
docs/which-estimator.md if it does, from the trainings of `scripts/boltzmann_ranking.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import pandas as pd
from dvae_bench.bench.log_z import uncertain
from dvae_bench.bench.ranking.correlation import rank_correlation
from dvae_bench.bench.ranking.trained import ELBO, Finish, Trained, at_steps
from dvae_bench.bench.report.numbers import MISSING, plain, with_interval
from dvae_bench.bench.rows import Quantity
from dvae_bench.bench.statistics.intervals import t_quantile
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import TASKS

from . import reference
from .estimators import table

NAMES = (
    "reinforce-ema",
    "rloo",
    "disarm",
    "rebar",
    "straight-through",
    "gumbel-softmax",
    "smoothing",
    "dvaepp-exp",
    "dvaepp-power",
    "dvaes-gaussian",
)
PRIORS, RATES = ("fixed", "rbm"), (3e-4, 1e-3, 3e-3)
SEEDS, CHOICE = (0, 1, 2), 3
"""The seeds that are compared, and the one on which each rate is chosen."""
EPOCHS, EPOCH = 20, 600
"""The length of a training, and the steps of an epoch: minibatches of 100 out of 60,000 images."""
TOTAL = len(NAMES) * len(PRIORS) * (len(RATES) + len(SEEDS))

NONE = "The trainings that answer this have not been run yet (`python scripts/boltzmann_ranking.py FOLDER`)."
TEXT = """{answer} {control}

Each estimator trains at the best of the learning rates {rates}, that of the highest test ELBO on a seed apart, among
those whose log Z is certain. The RBM has 100 + 100 bits and one group; the fixed prior has the same 200 bits. Test
ELBO in nats after {epochs} epochs on dynamic MNIST, {seeds}; bold: not worse than the best of its column beyond the
95 % intervals. log Z is annealed, and reverse annealing differs by at most {gap} nats. The estimators have their
default parameters, and steps of one to three evaluations of f. {done} of {total} trainings of {epochs} epochs are done
(`python scripts/boltzmann_ranking.py FOLDER {epochs}`).

{table}"""
NOTE = """Under a [Boltzmann prior](seed-document.md#does-the-ranking-of-estimators-change-under-a-boltzmann-prior) the
order is another one: {pairs}.

"""
FALSE = 0.05
"""The chance that any pair of estimators is said to change places and does not, at most."""


def task(prior: str, rate: float) -> str:
    """The name of the task with this prior and learning rate, as rows have it."""
    return str(TASKS.canonical(Name("mnist-vae", (("lr", rate), ("prior", prior)))))


def chosen(rows: pd.DataFrame, length: int) -> dict[tuple[str, str], float]:
    """(estimator, prior) -> the learning rate with the best last test ELBO on the seed of the choice; of those that
    have one, with a log Z that is certain. rows: of `reference.boltzmann`. length: in epochs."""
    rows = rows[(rows["length"] == length) & (rows["seed"] == CHOICE)]
    last = rows[(rows["metric"] == ELBO) & (rows["step"] == length * EPOCH)].set_index(["estimator", "task"])["value"]
    elbo = last.drop(uncertain(rows).set_index(["estimator", "task"]).index, errors="ignore")
    found = {}
    for name in NAMES:
        for prior in PRIORS:
            reached = {rate: elbo[name, task(prior, rate)] for rate in RATES if (name, task(prior, rate)) in elbo.index}
            if reached:
                found[name, prior] = max(reached, key=lambda rate: reached[rate])
    return found


def section() -> str:
    """The answer, with the table of both priors, as far as the trainings have come."""
    rows = reference.boltzmann()
    if rows.empty:
        return NONE
    rows, length = _longest(rows)
    rates = chosen(rows, length)
    fixed, rbm = (_trained(rows, rates, prior, length) for prior in PRIORS)
    count = fixed.scores.columns.union(rbm.scores.columns).size
    return TEXT.format(
        answer=_answer(fixed, rbm),
        control=_control(fixed, rbm),
        rates=", ".join(f"{rate:g}" for rate in RATES),
        epochs=length,
        seeds=f"{count} seed{'s' * (count > 1)}" + (", that of the choice" if CHOICE in fixed.scores.columns else ""),
        gap=plain(_gap(rows, rates, rbm, length)),
        done=len(rows.drop_duplicates(["estimator", "task", "seed"])),
        total=TOTAL,
        table=_table(rates, fixed, rbm).rstrip(),
    )


def note() -> str:
    """A sentence if the order changes: if two estimators change places."""
    rows = reference.boltzmann()
    if rows.empty:
        return ""
    rows, length = _longest(rows)
    rates = chosen(rows, length)
    fixed, rbm = (_trained(rows, rates, prior, length) for prior in PRIORS)
    pairs = _reversed(fixed, rbm)
    return NOTE.format(pairs=_overtaking(pairs)) if pairs else ""


def _longest(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The trainings of the length with the most seeds, the longest of those."""
    seeds = rows.groupby("length")["seed"].nunique()
    length = max(seeds.index, key=lambda epochs: (seeds[epochs], epochs))
    return rows[rows["length"] == length], int(length)


def _at_rates(rows: pd.DataFrame, rates: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """The trainings of each estimator and prior at its chosen rate."""
    wanted = pd.MultiIndex.from_tuples([(name, task(prior, rate)) for (name, prior), rate in rates.items()])
    return rows[pd.MultiIndex.from_frame(rows[["estimator", "task"]]).isin(wanted)]


def _trained(rows: pd.DataFrame, rates: Mapping[tuple[str, str], float], prior: str, length: int) -> Trained:
    """The trainings under a prior at the chosen rates: on the seeds that are complete under both, or else on that of
    the choice."""
    own = _at_rates(rows, rates)
    trainings = own.drop_duplicates(["estimator", "task", "seed"]).groupby("seed").size()
    whole = [seed for seed in SEEDS if trainings.get(seed, 0) == len(rates)] or [CHOICE]
    tasks = [task(prior, rate) for rate in RATES]
    return at_steps(own[own["seed"].isin(whole) & own["task"].isin(tasks)], length * EPOCH)


def _gap(rows: pd.DataFrame, rates: Mapping[tuple[str, str], float], trained: Trained, length: int) -> float:
    """The largest distance of annealed and reverse annealed log Z, in nats, in the trainings that the table shows."""
    shown = _at_rates(rows, rates)
    last = (shown["metric"] == "log_z_gap") & (shown["step"] == length * EPOCH)
    return float(shown.loc[last & shown["seed"].isin(trained.scores.columns), "value"].abs().max())


def _between_seeds(trained: Trained) -> float:
    """The mean of Spearman's rho between each seed's order and the next one's, under one prior; NaN with one seed."""
    return _correlation(trained, trained)[0].value if trained.scores.shape[1] > 1 else float("nan")


def _correlation(one: Trained, other: Trained) -> tuple[Quantity, int]:
    """Spearman's rho between the order of each seed of `one` and that of the next seed of `other`, and how many
    estimators both have: at equal seeds, networks and minibatches would be the same."""
    scores = other.scores
    following = scores[[*scores.columns[1:], *scores.columns[:1]]].set_axis(scores.columns, axis=1)
    rho, _, count = rank_correlation(one.scores, following)
    return rho, count


def _answer(fixed: Trained, rbm: Trained) -> str:
    rho, count = _correlation(fixed, rbm)
    if not count:
        return "Too few estimators have been trained under both priors for a rank correlation."
    pairs, every = _reversed(fixed, rbm), math.comb(count, 2)
    best = [trained.tied[0] for trained in (fixed, rbm)]
    first = f"`{best[0]}` is first under both" if best[0] == best[1] else f"first are `{best[0]}` and `{best[1]}`"
    shown = with_interval(rho.value, rho.lo, rho.hi)
    changes = (
        f"**It does: of {every} pairs of estimators {len(pairs)} change places, and {first}.** Under the RBM "
        f"{_overtaking(pairs)}: the intervals of all differences, which hold together at {100 * (1 - FALSE):.0f} %, "
        "show it."
        if pairs
        else f"**No two of {count} estimators are shown to change places, and {first}.**"
    )
    return f"{changes} Spearman's ρ between an order under one prior and one under the other is {shown}."


def _reversed(fixed: Trained, rbm: Trained) -> list[tuple[str, str]]:
    """The pairs of estimators (one, other) of which one trained better under the fixed prior and the other under the
    RBM, each by more than an interval that holds for both differences of all pairs (Bonferroni)."""
    names = [name for name in fixed.scores.index if name in rbm.scores.index]
    level = FALSE / 2 / max(1, 2 * math.comb(len(names), 2))

    def better(trained: Trained, one: str, other: str) -> bool:
        value, se, degrees = trained.difference(one, other)
        return value > t_quantile(level, degrees) * se

    return [pair for pair in itertools.permutations(names, 2) if better(fixed, *pair) and better(rbm, *pair[::-1])]


def _overtaking(pairs: Sequence[tuple[str, str]]) -> str:
    """Such as "`a` overtakes `b` and `c`", by who is ahead under the RBM."""
    behind = {other: [one for one, ahead in pairs if ahead == other] for _, other in pairs}
    return ", and ".join(f"`{other}` overtakes {_listed(names)}" for other, names in behind.items())


def _listed(names: Sequence[str]) -> str:
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def _control(fixed: Trained, rbm: Trained) -> str:
    """How well an order repeats itself under one prior: the most that could be expected across priors."""
    both = [_between_seeds(trained) for trained in (fixed, rbm)]
    if pd.isna(both).any():
        return "With one seed there is no interval, and chance is not told from change."
    return (
        f"Of two seeds under one prior it is {plain(both[0])} (fixed) and {plain(both[1])} (RBM), the most that can be "
        "expected."
    )


def _table(rates: Mapping[tuple[str, str], float], fixed: Trained, rbm: Trained) -> str:
    places = [{each.estimator: each for each in trained.finishes} for trained in (fixed, rbm)]
    order = [*places[0], *(name for name in places[1] if name not in places[0])]
    lines = [
        (
            f"`{name}`",
            *(
                cell
                for prior, place in zip(PRIORS, places, strict=True)
                for cell in (_rate(rates, name, prior), _elbo(place.get(name)))
            ),
        )
        for name in order
    ]
    return table(("estimator", "rate, fixed", "ELBO, fixed", "rate, RBM", "ELBO, RBM"), lines)


def _rate(rates: Mapping[tuple[str, str], float], name: str, prior: str) -> str:
    return f"{rates[name, prior]:g}" if (name, prior) in rates else MISSING


def _elbo(finish: Finish | None) -> str:
    if finish is None or not finish.group:
        return finish.reason if finish else MISSING
    shown = with_interval(finish.elbo.value, finish.elbo.lo, finish.elbo.hi)
    return f"**{shown}**" if finish.group == 1 else shown
