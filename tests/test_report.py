"""Tables and figures from made-up rows: nothing here measures anything."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvae_bench.bench.report import (
    FIGURES,
    Study,
    chosen_table,
    tables_of,
    verdicts,
    write_figures,
    write_report,
    write_tables,
)
from dvae_bench.bench.report.figures import calibration, families, probability
from dvae_bench.bench.report.figures import training as training_figure
from dvae_bench.bench.report.figures import write as figures_module
from dvae_bench.bench.report.figures.given import draw_into
from dvae_bench.bench.report.figures.style import STYLES, style
from dvae_bench.bench.report.figures.titles import titles, wrapped
from dvae_bench.bench.report.figures.write import NARROW
from dvae_bench.bench.report.numbers import plain, with_interval
from dvae_bench.bench.report.rows import applicable, cells, prepare, toys, trainings
from dvae_bench.bench.report.tables.best import not_worse
from dvae_bench.bench.report.tables.table import Table
from dvae_bench.bench.report.view import View
from dvae_bench.bench.statistics.holm import holm
from dvae_bench.estimators.names import UsageError
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# name: relative bias and variance of the logits gradient, evaluations, time in us
ESTIMATORS = {
    "exact": (0.0, 0.0, 64, 95.0),
    "reinforce": (0.0, 9.1, 1, 7.1),
    "reinforce-ema": (0.0, 2.4, 1, 7.9),
    "rloo:n=4": (0.0, 0.61, 4, 13.0),
    "disarm": (0.0, 0.82, 2, 10.2),
    "straight-through": (0.31, 0.09, 1, 11.5),
    "gumbel-softmax": (0.12, 0.14, 1, 12.8),
    "st-gumbel-softmax": (0.22, 0.19, 1, 13.4),
    "rebar": (0.0, 0.33, 3, 31.0),
}
ALL = View()
HEAVY = "moments:family=student-t"
TOYS = ["bit-table", "category-table:n=3", "quadratic:d=200", "tiny-vae", "two-layer", HEAVY]
VAES = {"mnist-vae": "mnist", "mnist-vae:arch=categorical": "mnist", "mnist-vae:arch=two-layer-linear": "mnist-5k"}
PHASES = {
    "encode": 310, "sample": 60, "objective": 820, "gradient": 190,
    "objective_backward": 900, "encoder_backward": 420, "update": 350,
}  # fmt: skip
BIASED = {"straight-through", "gumbel-softmax", "st-gumbel-softmax"}


def row(**given: object) -> dict[str, object]:
    blank = {"data": "", "seed": 0, "source": "draws", "collector": "moments", "group": "", "step": 0, "metric": ""}
    numbers = {"unit": "", "direction": "lower", "value": np.nan, "n": 4000, "se": np.nan, "lo": np.nan, "hi": np.nan}
    state = {"status": "ok", "reason": "", "tuned_steps": 0, "device": "cpu"}
    return blank | numbers | state | {"family": str(given["estimator"]).partition(":")[0]} | given


def near(value: float, share: float) -> dict[str, float]:
    return {"value": value, "lo": value * (1 - share), "hi": value * (1 + share)}


def toy_rows(name: str, task: str, random: np.random.Generator) -> list[dict[str, object]]:
    bias, variance, evaluations, time = ESTIMATORS[name]
    cell = {"estimator": name, "task": task}
    scale = 1.0 + TOYS.index(task)
    noise = np.sqrt(variance / 4e5)
    rows = []
    for group in ("cut", "decoder") if task in ("tiny-vae", "two-layer") else ("cut",):
        wrong = bias * scale / 3 if group == "cut" or name == "straight-through" else 0.0
        relative = np.hypot(wrong, noise * random.uniform(0.5, 1.5))
        p = 0.0 if wrong else random.uniform(0.05, 1)
        rows += [
            row(**cell, group=group, metric="bias_rel", **near(relative, min(2 * noise / max(relative, 1e-9), 0.9))),
            row(**cell, group=group, metric="bias_p", value=p),
            row(**cell, group=group, metric="bias_sdb", value=5 * noise),
            row(**cell, group=group, metric="gradient_norm", value=3.0),
            row(**cell, group=group, metric="var_total", **near(variance * scale**2 * random.uniform(0.7, 1.4), 0.04)),
        ]
    clock = {"source": "clock", "collector": "clock", "unit": "us"}
    rows.append(row(**cell, metric="evaluations", value=evaluations))
    rows.append(row(**cell, metric="differentiations", value=int(name in BIASED)))
    rows.append(row(**cell, **clock, metric="time_total", **near(time * scale**0.3, 0.03)))
    return rows


def vae_rows(name: str, task: str, seeds: int, random: np.random.Generator) -> list[dict[str, object]]:
    bias, variance, evaluations, _ = ESTIMATORS[name]
    cost = 1 + 0.35 * (evaluations - 1)
    rows = []
    for seed, step in itertools.product(range(seeds), range(0, 2001, 200)):
        at = {"estimator": name, "task": task, "data": VAES[task], "seed": seed, "source": "steps", "step": step}
        end = -98 - 2.5 * np.log1p(variance) - 9 * bias + random.normal(0, 0.4)
        elbo = end - (540 + end) * np.exp(-step / (260 + 40 * variance))
        bound = {"collector": "training", "unit": "nats", "direction": "higher"}
        rows += [
            row(**at, **bound, metric="elbo_train", value=elbo + 0.9),
            row(**at, **bound, metric="elbo_test", value=elbo, lo=elbo - 0.8, hi=elbo + 0.8),
            row(**at, metric="kl_test", unit="nats", **near(25 * (1 - np.exp(-step / 400)), 0.02)),
            row(**at, metric="var_cut", **near(3e-5 * (variance + 0.02), 0.1)),
            row(**at, metric="var_encoder", **near(2e-3 * (variance + 0.05) * random.uniform(0.8, 1.2), 0.1)),
            row(**at, metric="seconds", unit="s", value=step * 0.003 * cost),
        ]
        if step == 2000:
            rows.append(row(**at, **bound, metric="iw_test", value=elbo + 4.2))
            for kind in ("original", "reconstruction", "sample"):
                grey = random.integers(0, 256, 8 * 784).astype(float).tolist()
                rows.append(row(**at, metric=f"images_{kind}", value=8, blocks=grey))
    clock = {"estimator": name, "task": task, "data": VAES[task], "source": "clock", "collector": "clock", "unit": "us"}
    phases = {f"time_{phase}": time * (cost if "objective" in phase else 1) for phase, time in PHASES.items()}
    for metric, time in {**phases, "time_total": 1.02 * sum(phases.values())}.items():
        rows.append(row(**clock, metric=metric, **near(time, 0.04)))
    return rows


def everything_rows() -> pd.DataFrame:
    """The least that every figure can draw: toys, a bit at three probabilities, a basket, a target, an accelerator."""
    rows = small_rows().to_dict("records")
    rows.append(row(estimator="smoothing", task=TOYS[0], group="cut", metric="var_total", value=1.0))
    for name, step in itertools.product(("disarm", "straight-through"), (0, 1000, 2000)):
        at = {"estimator": "rloo:n=4", "task": "mnist-vae", "data": "mnist", "source": "steps", "step": step}
        for metric, value in {"bias_encoder": 0.01 + (name in BIASED), "var_encoder": 2.0}.items():
            rows.append(row(**at, group=name, metric=metric, **near(value, 0.1)))
    for name, logit in itertools.product(("disarm", "rloo:n=4"), (-2.0, 0.0, 2.0)):
        cell = {"estimator": name, "task": f"bit:logit={logit}" if logit else "bit", "group": "cut"}
        value = 0.0 if name == "disarm" and not logit else ESTIMATORS[name][1]
        rows += [row(**cell, metric="var_total", **near(value, 0.1)), row(**cell, metric="gradient_norm", value=0.1)]
    for name, seed in itertools.product(("rloo:n=4",), range(2)):
        steps = {"estimator": name, "task": "mnist-vae", "data": "mnist", "source": "steps", "step": 2000, "seed": seed}
        rows.append(row(**steps, metric="seconds_to_target", unit="s", value=3.0 + seed))
    for seed in range(20):
        test = {"estimator": "my-own", "task": TOYS[0], "group": "cut", "seed": seed}
        rows += [row(**test, metric="bias_p", value=(seed + 1) / 21), row(**test, metric="claims_unbiased", value=1.0)]
    for name, bound in (("rloo:n=4", 1.0), ("straight-through", 0.0)):
        clock = {"estimator": name, "task": "mnist-vae", "data": "mnist", "source": "clock"}
        rows += [
            row(**clock, metric="time_enqueue", **near(900.0, 0.1)),
            row(**clock, metric="host_bound", value=bound),
        ]
        rows.append(row(**clock, metric="time_host", **near(1000.0 if bound else 2000.0, 0.1)))
    return pd.DataFrame(rows)


def realistic_rows(seeds: int = 1) -> pd.DataFrame:
    """Nine estimators on six toys and three VAEs, with an unsupported, a failed, a diverged and an untestable cell."""
    random = np.random.default_rng(0)
    rows = []
    for name, task in itertools.product(ESTIMATORS, TOYS):
        if (name, task) == ("disarm", "category-table:n=3"):
            rows.append(row(estimator=name, task=task, status="unsupported", reason="disarm needs Bernoulli latents"))
        elif (name, task) == ("rebar", "two-layer"):
            reason = "Traceback:\n  x_1 & x_2 have 100% of {nothing}"
            rows.append(row(estimator=name, task=task, status="error", reason=reason, source=""))
        else:
            rows += toy_rows(name, task, random)
    for each in rows:
        if each["task"] == HEAVY and each["metric"] == "bias_p" and each["estimator"] == "reinforce":
            each |= {"status": "not testable", "reason": "the top 1 % of draws carry 60 % of the squared error"}
    for name, task in itertools.product(ESTIMATORS, VAES):
        if name == "exact" or (name == "disarm" and "categorical" in task):
            rows.append(row(estimator=name, task=task, status="unsupported", reason=f"no {name} here", source=""))
        else:
            rows += vae_rows(name, task, seeds, random)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return realistic_rows()


@pytest.fixture(scope="module")
def built(rows: pd.DataFrame) -> list[Table]:
    return tables_of(rows)


@pytest.fixture(scope="module")
def by_name(built: list[Table]) -> dict[str, pd.DataFrame]:
    return {table.name: table.text for table in built}


def swept_rows() -> list[dict[str, object]]:
    """gumbel-softmax at three temperatures, the default among them, on one toy; at 2 of infinite variance."""
    rows = []
    for tau, name in ((0.1, "gumbel-softmax:tau=0.1"), (0.5, "gumbel-softmax"), (2.0, "gumbel-softmax:tau=2.0")):
        at = {"estimator": name, "task": TOYS[0], "group": "cut"}
        rows += [
            row(**at, metric="bias_rel", **near(tau / 4, 0.1)),
            row(**at, metric="bias_p", value=1e-9 if tau > 0.1 else 0.5),
            row(**at, metric="var_total", **near(0.1 / tau, 0.1), status="infinite variance" if tau == 2 else "ok"),
        ]
    return rows


def small_rows() -> pd.DataFrame:
    random = np.random.default_rng(1)
    names = ("exact", "rloo:n=4", "straight-through")
    toys = [each for name in names for each in toy_rows(name, TOYS[0], random)]
    return pd.DataFrame(toys + [each for name in names[1:] for each in vae_rows(name, "mnist-vae", 2, random)])


def bias_test(name: str, p: float, **given: object) -> dict[str, object]:
    return row(estimator=name, task="bit", group="cut", metric="bias_p", value=p, **given)


def words(rows: list[dict[str, object]]) -> dict[str, str]:
    found = verdicts(pd.DataFrame(rows)).reset_index()
    return dict(zip(found["estimator"], found["verdict"], strict=True))


def test_toys_and_trainings_take_no_memory_of_their_own() -> None:
    """And tables count what does not apply without a copy of the rows."""
    rows = prepare(realistic_rows().sample(frac=1, random_state=0))
    parts = [toys(rows), trainings(rows)]
    assert sum(map(len, parts)) == len(rows) and all(map(len, parts))
    for part, name in itertools.product(parts, ("value", "hi")):
        assert np.shares_memory(part[name].to_numpy(), rows[name].to_numpy())
    lost = {cell for cell in cells(rows).index if cell not in applicable(rows)}
    assert {(task, name) for task, _, _, name in lost} == {
        ("category-table:n=3", "disarm"),
        *((task, "exact") for task in VAES),
        *((task, "disarm") for task in VAES if "categorical" in task),
    }


def test_holm_is_the_step_down_rule() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([])).size == 0


def test_verdicts_share_one_family_wise_alpha() -> None:
    lone = words([bias_test("a", 4e-4)])
    crowd = words([bias_test("a", 4e-4), bias_test("b", 0.5), bias_test("c", 0.6)])
    assert (lone["a"], crowd["a"]) == ("biased", "unbiased")
    stepping = words([bias_test("a", 1e-9), bias_test("b", 4e-4), bias_test("c", 0.6)])
    assert stepping == {"a": "biased", "b": "biased", "c": "unbiased"}


def test_untestable_and_failed_cells_are_no_verdict_and_not_in_the_family() -> None:
    family = [bias_test("a", 9e-4)]
    others = [
        bias_test("b", 1e-9, status="not testable"),
        bias_test("c", np.nan),
        row(estimator="d", task="bit", status="diverged"),
    ]
    expected = {"a": "biased", "b": "not testable", "c": "not testable", "d": "diverged"}
    assert words(family + others) == expected


def test_a_bias_that_one_seed_shows_is_a_bias() -> None:
    assert words([bias_test("a", 0.5, seed=0), bias_test("a", 1e-9, seed=1)]) == {"a": "biased"}


@pytest.mark.parametrize(
    ("value", "lo", "hi", "text"),
    [
        (0.31234, 0.3001, 0.3244, "0.312 [0.300, 0.324]"),
        (12345.6, 12222.0, 12469.0, "12350 [12220, 12470]"),
        (3.0, 0.1, 1000.0, "3.0 [0.1, 1000.0]"),
        (1.234e-5, 1.1e-5, 1.4e-5, "1.23e-05 [1.10e-05, 1.40e-05]"),
        (0.5, 0.5 - 1e-9, 0.5 + 1e-9, "0.50000 [0.50000, 0.50000]"),
        (-0.001, -0.2, 0.2, "0.00 [-0.20, 0.20]"),
        (0.0, 0.0, 0.0, "0"),
        (2.0, np.nan, np.nan, "2"),
        (np.nan, np.nan, np.nan, "–"),
        (np.inf, np.nan, np.nan, "inf"),
    ],
)
def test_numbers_have_the_digits_their_interval_supports(value: float, lo: float, hi: float, text: str) -> None:
    assert with_interval(value, lo, hi) == text


def test_plain_numbers_keep_whole_numbers_whole() -> None:
    assert [plain(x) for x in (65536, 2.0, 0.123456, 1.5e-6)] == ["65536", "2", "0.123", "1.50e-06"]


def test_toy_table_shows_verdicts_with_what_backs_them(by_name: dict[str, pd.DataFrame]) -> None:
    toys = by_name["toys"].set_index(["task", "estimator"])
    assert toys.loc[("quadratic:d=200", "straight-through"), "relative bias"].startswith("0.310")
    assert toys.loc[("quadratic:d=200", "rebar"), ["verdict", "relative bias"]].tolist() == ["unbiased", "sdb 0.00454"]
    assert toys.loc[(HEAVY, "reinforce"), "verdict"] == "not testable"
    assert toys.loc[("tiny-vae", "straight-through"), "other groups"] == "biased: all groups"
    assert toys.loc[("tiny-vae", "rebar"), "other groups"] == "all unbiased (sdb up to 0.00454)"


def test_one_biased_group_is_named() -> None:
    tests = [bias_test("a", p) | {"group": g} for g, p in (("cut", 0.5), ("encoder", 0.4), ("decoder", 1e-9))]
    (toys, *_) = tables_of(pd.DataFrame(tests))
    assert toys.text["other groups"].tolist() == ["biased: decoder"]


def test_failed_cells_stand_in_every_table(by_name: dict[str, pd.DataFrame]) -> None:
    toys, training = by_name["toys"], by_name["training"]
    assert toys[toys["estimator"].eq("rebar") & toys["task"].eq("two-layer")]["verdict"].tolist() == ["error"]
    assert not training["estimator"].eq("exact").any(), "combinations that do not apply are a count"
    failed = by_name["failures"].set_index(["task", "estimator"])["reason"]
    assert failed["two-layer", "rebar"] == "x_1 & x_2 have 100% of {nothing}"
    assert failed[HEAVY, "reinforce"].startswith("the top 1 %")


def test_what_does_not_apply_is_a_count_and_no_line(built: list[Table], by_name: dict[str, pd.DataFrame]) -> None:
    assert "1 of 54 combinations of task and estimator do not apply or were not run" in built[0].caption
    assert not any((table == "unsupported").any(axis=None) for table in by_name.values())


def test_sources_with_the_same_fate_share_a_line_and_only_draws_give_a_verdict() -> None:
    cell = {"estimator": "a", "task": "bit", "status": "error", "reason": "no"}
    clock = row(estimator="b", task="bit", source="clock", status="error", reason="boom")
    toys, *_, failed = tables_of(pd.DataFrame([row(**cell), row(**cell, source="clock"), clock]))
    assert toys.text["verdict"].tolist() == ["error", "–"]
    assert failed.text["source"].tolist() == ["clock, draws", "clock"]


def test_toys_are_sorted_by_task_then_variance(built: list[Table]) -> None:
    numbers = built[0].numbers
    assert numbers["task"].is_monotonic_increasing
    for _, of_task in numbers.groupby("task"):
        assert of_task["variance"].dropna().is_monotonic_increasing


def test_training_shows_the_range_of_seeds_and_leaves_diverged_ones_out() -> None:
    rows = pd.DataFrame(vae_rows("rebar", "mnist-vae", 3, np.random.default_rng(0)))
    lost = row(estimator="rebar", task="mnist-vae", data="mnist", seed=2, source="steps", status="diverged")
    training = tables_of(pd.concat([rows, pd.DataFrame([lost])]))[2]
    ends = rows[(rows["metric"] == "elbo_test") & (rows["step"] == 2000) & (rows["seed"] < 2)]["value"]
    line = training.numbers.iloc[0]
    assert training.text["status"].tolist() == ["2 seeds, 1 diverged"]
    assert line[["elbo_test", "elbo_test_lo", "elbo_test_hi"]].tolist() == [ends.mean(), ends.min(), ends.max()]
    assert " to " in training.text["ELBO test"].iloc[0]
    assert line["ms_per_step"] == pytest.approx(rows[rows["metric"] == "time_total"]["value"].iloc[0] / 1000)


def test_an_elbo_whose_log_z_is_uncertain_is_never_bold_and_says_so() -> None:
    rows = vae_rows("rebar", "mnist-vae", 1, np.random.default_rng(0))
    worse = [line | {"estimator": "rloo"} for line in rows]
    for line in worse:
        if line["metric"].startswith(("elbo", "iw")):
            line.update({key: line[key] - 50 for key in ("value", "lo", "hi")})
    (last,) = [line for line in rows if line["metric"] == "elbo_test" and line["step"] == 2000]
    last["se"] = 0.8 / 1.96
    gap = last | {"metric": "log_z_gap", "value": -0.81}
    training = tables_of(pd.DataFrame([*rows, *worse, gap]))[2]
    assert training.text["status"].tolist() == ["1 seed, log Z uncertain", "1 seed"]
    assert training.bold["ELBO test"] == [False, True]
    assert "may be too high by as much" in training.caption
    known = tables_of(pd.DataFrame([*rows, *worse, gap | {"value": 0.79}]))[2]
    assert known.bold["ELBO test"] == [True, False] and "log Z uncertain" not in known.caption


def test_the_curve_of_an_estimator_alone_is_shown() -> None:
    """The limits of its axis were equal, which matplotlib warns of."""
    rows = pd.DataFrame(vae_rows("rebar", "mnist-vae", 1, np.random.default_rng(0)))
    with style():
        figure = training_figure.plot(prepare(rows), View())
    assert not isinstance(figure, str)
    low, high = figure.axes[-1].get_ylim()
    assert high - low > 1


def test_intervals_of_seeds_add_in_quadrature() -> None:
    both = [row(estimator="a", task="bit", group="cut", metric="var_total", seed=s, **near(1.0, 0.1)) for s in (0, 1)]
    line = tables_of(pd.DataFrame(both))[0].numbers.iloc[0]
    assert line["variance_hi"] - line["variance"] == pytest.approx(0.1 / np.sqrt(2))


def test_what_a_row_says_against_itself_is_printed() -> None:
    doubted = row(estimator="a", task="bit", group="cut", metric="var_total", value=2.0, status="heavy-tailed")
    toys, *_, failed = tables_of(pd.DataFrame([doubted]))
    assert toys.text["variance"].tolist() == ["2 (heavy-tailed)"]
    assert len(failed.text) == 1


def test_latex_is_escaped_booktabs(built: list[Table]) -> None:
    toys, *_, failed = built
    assert r"x\_1 \& x\_2 have 100\% of \{nothing\}" in failed.latex()
    assert all(rule in failed.latex() for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:failures}"))
    assert toys.latex().count(r"\begin{tabular}") == len(TOYS), "one a task: they would outgrow a page"
    greek = tables_of(pd.DataFrame([row(estimator="a", task="bit", status="error", reason="σ ≤ 0")]))[-1]
    assert r"\ensuremath{\sigma} \ensuremath{\le} 0" in greek.latex() and "σ ≤ 0" in greek.markdown()


def test_the_best_and_what_is_not_significantly_worse_are_bold() -> None:
    def lines(*intervals: tuple[float, float, float], task: str = "bit") -> pd.DataFrame:
        ends = pd.DataFrame(intervals, columns=["x", "x_lo", "x_hi"])
        return ends.assign(task=task, data="", device="cpu")

    three = lines((1.0, 0.9, 1.1), (1.2, 1.05, 1.3), (1.3, 1.2, 1.4))
    assert not_worse(three, "x") == [True, True, False]
    assert not_worse(three, "x", higher=True) == [False, True, True]
    assert not_worse(three, "x", pd.Series([False, False, True])) == [False, False, True]
    assert not_worse(lines((1.0, np.nan, np.nan), (np.nan, np.nan, np.nan)), "x") == [True, False]
    apart = pd.concat([three, lines((9.0, 8.9, 9.1), task="quadratic")], ignore_index=True)
    assert not_worse(apart, "x") == [True, True, False, True], "each task has its own best"


def test_bold_is_set_in_latex_and_markdown(built: list[Table]) -> None:
    toys = built[0]
    best = toys.text["variance"][toys.bold["variance"]]
    assert len(best) >= len(TOYS) - 1
    assert all(f"\\bfseries {cell} &" in toys.latex() and f"**{cell}**" in toys.markdown() for cell in best)
    biased = toys.numbers["verdict"] == "biased"
    assert not biased[toys.bold["variance"]].any(), "a biased estimator's variance wins nothing"


def test_captions_say_n_seeds_and_family(built: list[Table]) -> None:
    toys, efficiency, training, *_ = built
    for words in ("n = 4000 draws per cell and seed, 1 seed", "Holm's test over the", "family-wise alpha"):
        assert words in toys.caption
    assert "n = 4000 draws" in efficiency.caption and "n = 4000 test images" in training.caption


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt-get install texlive-latex-recommended")
@pytest.mark.parametrize("columns", ["", "[twocolumn]"])
def test_an_article_with_the_tables_compiles(built: list[Table], tmp_path: Path, columns: str) -> None:
    names = [path.name for table in built for path in table.write(tmp_path) if path.suffix == ".tex"]
    body = "\n".join(f"\\input{{{name}}}\n\\clearpage" for name in names)
    head = f"\\documentclass{columns}{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n"
    (tmp_path / "article.tex").write_text(f"{head}{body}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and len(names) == 4, done.stdout[-2000:]
    assert "Overfull" not in done.stdout and "too large" not in done.stdout, "nothing leaves the page"
    assert not any("resizebox" in (tmp_path / name).read_text() for name in names), "at \\small, not scaled"
    assert (tmp_path / "article.pdf").read_bytes().startswith(b"%PDF")


def test_a_table_shows_the_chosen_columns_and_the_best_and_highlighted(rows: pd.DataFrame) -> None:
    view = View(tasks=["mnist-vae"], highlight=["reinforce"], labels={"reinforce": "Ours"}, most=2)
    table = chosen_table(rows, "training", view, ["ELBO test"])
    assert list(table.text) == ["task", "data", "estimator", "ELBO test"] and len(table.text) == 3
    elbo = tables_of(View(tasks=["mnist-vae"]).select(prepare(rows)))[2].numbers["elbo_test"]
    assert table.numbers["elbo_test"].iloc[:2].tolist() == sorted(elbo.dropna(), reverse=True)[:2]
    assert table.text["estimator"].iloc[-1] == "Ours" and len(table.bold["ELBO test"]) == 3
    with pytest.raises(UsageError, match="no column 'ELBO tset'; nearest: ELBO test"):
        chosen_table(rows, "training", view, ["ELBO tset"])
    with pytest.raises(UsageError, match="no table 'trainings'; nearest: training"):
        chosen_table(rows, "trainings", view)
    with pytest.raises(UsageError, match="no estimator 'rlo'"):
        chosen_table(rows, "toys", View(["rlo"]))


def test_pipes_do_not_break_markdown() -> None:
    failed = tables_of(pd.DataFrame([row(estimator="a", task="bit", status="error", reason="|x| < 1")]))[-1]
    assert r"\|x\| < 1" in failed.markdown()


def test_missing_column_names_itself(rows: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="no column hi"):
        tables_of(rows.drop(columns="hi"))


def test_report_of_everything_writes_every_file(tmp_path: Path) -> None:
    lost = row(estimator="rebar", task=TOYS[0], status="error", reason="boom")
    files = write_report(Study("run", pd.concat([everything_rows(), pd.DataFrame([*swept_rows(), lost])])), tmp_path)
    wanted = {
        f"tables/{name}.{end}"
        for name in ("toys", "efficiency", "training", "failures")
        for end in ("csv", "md", "tex")
    }
    wanted |= {f"figures/{name}.{end}" for name in FIGURES for end in ("pdf", "svg", "png")}
    assert {path.relative_to(tmp_path).as_posix() for path in files} == wanted
    assert all(path.stat().st_size > 100 for path in files)
    assert (tmp_path / "figures" / "bias.png").read_bytes().startswith(b"\x89PNG")


def test_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    rows = everything_rows()
    shuffled = rows.sample(frac=1, random_state=0).set_axis([0] * len(rows))
    written = []
    for given, folder in ((rows, tmp_path / "a"), (shuffled, tmp_path / "b")):
        files = (
            write_tables(tables_of(given), folder)
            + write_figures(given, folder, ["bias", "training", "families", "basket"])[0]
        )
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]


def test_the_last_bits_of_the_layout_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, draw = small_rows(), Figure.draw_without_rendering

    def draw_beside(figure: Figure) -> None:
        draw(figure)
        for axes in figure.axes:
            axes.set_position(np.nextafter(axes.get_position(original=True).bounds, 1))

    plain, _ = write_figures(rows, tmp_path / "a", ["training"])
    monkeypatch.setattr(Figure, "draw_without_rendering", draw_beside)
    moved, _ = write_figures(rows, tmp_path / "b", ["training"])
    assert [path.read_bytes() for path in plain] == [path.read_bytes() for path in moved] != []


def drawn(rows: pd.DataFrame, name: str, look: str = "paper", columns: int = 2, view: View = ALL) -> Figure | str:
    """A figure as it would be saved."""
    with style(look, 1 if name in NARROW else columns):
        figure = import_module(f"dvae_bench.bench.report.figures.{name.replace('-', '_')}").plot(prepare(rows), view)
        if not isinstance(figure, str):
            figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_within_one_axes(name: str) -> None:
    figure = Figure(figsize=(20, 16))
    ax = figure.subplots()
    rows = pd.concat([everything_rows(), pd.DataFrame(swept_rows())])
    draw_into(name, prepare(rows), ax)
    panels = ax.child_axes or [ax]
    assert all(panel.has_data() for panel in panels) and len(panels) == sum(map(Axes.get_visible, panels))
    assert all(panel.get_xlabel() or panel.get_title(loc="left") for panel in panels)


def test_figures_without_data_are_notes_and_old_ones_go(tmp_path: Path) -> None:
    toys = small_rows().query("data == ''")
    for name in ("training.pdf", "phases.png"):
        (tmp_path / name).write_bytes(b"old")
    toys = toys[~toys["metric"].isin(["evaluations", "gradient_norm"])]
    files, notes = write_figures(toys, tmp_path)
    assert {path.stem for path in files} == {"variance-cost", "bias"} == {p.stem for p in tmp_path.iterdir()}
    assert notes == [
        "training: skipped, no task was trained",
        "kl: skipped, no task reports a KL",
        "samples: skipped, no images are stored",
        "phases: skipped, no training step was timed by phases",
        "sweeps: skipped, no toy was run at 3 values of one hyper-parameter, as in -e 'gumbel-softmax:tau={.1,.5,1}'",
        "smoothing: skipped, no estimator of the family smoothing was run",
        "families: skipped, no toy has a bias, a variance and the norm of its gradient",
        "probability: skipped, no bit was measured at two probabilities; run -t 'bit:t=.45,logit={-4,-2,0,2,4}'",
        "basket: skipped, no run measured a basket along training; run --basket disarm --basket rloo",
        "time-to-target: skipped, no training run reached a target (metric seconds_to_target)",
        "calibration: skipped, no toy has 20 bias tests of gradients claimed to be unbiased (metric claims_unbiased)",
        "peers: skipped, no toy was run with an estimator from a plugin; run --plugin examples/my_estimator.py "
        "-e antithetic -e rloo",
        "host-bound: skipped, nothing was timed on an accelerator (metrics time_enqueue, time_host)",
    ]


def test_the_calibration_figure_shows_what_claims_to_be_unbiased_and_the_peers_figure_names_plugins() -> None:
    rows = everything_rows()
    found = calibration._points(prepare(rows))
    assert sorted(found["value"]) == [(seed + 1) / 21 for seed in range(20)], "uniform, and of my-own alone"
    biased = rows.assign(value=rows["value"].where(rows["metric"] != "claims_unbiased", 0.0))
    assert calibration._points(prepare(biased)).empty
    stranger = pd.concat([rows, rows[rows["estimator"] == "my-own"].assign(estimator="<script>:x=,")])
    figure = drawn(stranger, "peers")
    assert isinstance(figure, Figure)
    labels = {label.get_text(): label.get_fontweight() for axes in figure.axes for label in axes.get_yticklabels()}
    assert labels["my-own"] == "bold" != labels["straight-through"]


def test_a_title_says_what_differs_between_panels() -> None:
    shared = "batch=200,binarisation=none,k=4,lr=0.00316,n=128,optimizer=adamw"
    settings = [(f"mnist-vae:arch={name},{shared}", "mnist", "cpu") for name in ("hooper", "linear")]
    assert list(titles(settings).values()) == ["mnist-vae, arch=hooper", "mnist-vae, arch=linear"]
    assert list(titles(settings[:1]).values()) == ["mnist-vae"], "nothing else differs"
    assert list(titles([("bit", "", "cpu"), ("bit", "", "cuda"), ("toy", "", "cpu")]).values()) == [
        "bit, cpu", "bit, cuda", "toy"
    ]  # fmt: skip
    lines = wrapped("a-name-that-no-line-can-hold-" * 9, 30).split("\n")
    assert len(lines) == 3 and all(len(line) <= 30 for line in lines) and lines[-1].endswith("…")


@pytest.mark.parametrize("look", STYLES)
def test_panels_of_one_estimator_have_room_for_titles_of_many_lines(look: str) -> None:
    """Settings whose names differ in what is long; matplotlib warns where a panel has no room left."""
    rows = small_rows().query("data != '' and estimator == 'rloo:n=4'")
    optimizer = "batch=200,binarisation=none,k=4,lr=0.00316,n=128,optimizer=adamw,schedule=cosine,warmup=120"
    settings = [rows.assign(task=f"mnist-vae:arch={name},{optimizer}") for name in ("hooper", "linear", "categorical")]
    for columns in (1, 2):
        figure = drawn(pd.concat(settings), "phases", look, columns)
        assert isinstance(figure, Figure)
        assert all(axes.get_window_extent().height > 0.1 * figure.dpi for axes in figure.axes)


def test_a_report_of_failures_only_has_tables_and_says_why_no_figures(tmp_path: Path) -> None:
    lost = pd.DataFrame([row(estimator="a", task="bit", status="error", reason="boom")])
    names = {path.name for path in write_report(Study("run", lost), tmp_path)}
    assert names == {f"{t}.{end}" for t in ("toys", "failures") for end in ("csv", "md", "tex")} | {"skipped.txt"}
    assert len((tmp_path / "figures" / "skipped.txt").read_text().splitlines()) == len(FIGURES)
    assert {path.name for path in write_report(Study("run", lost.iloc[:0]), tmp_path / "empty")} == {"skipped.txt"}


def test_infinite_and_missing_numbers_draw() -> None:
    rows = everything_rows()
    rows.loc[rows["estimator"].eq("rloo:n=4") & rows["metric"].eq("var_total"), ["value", "lo", "hi"]] = np.inf
    rows.loc[rows["metric"].eq("elbo_test") & rows["step"].eq(400), "value"] = -np.inf
    rows.loc[rows["metric"].isin(["bias_rel", "time_total"]), ["lo", "hi"]] = np.nan
    swept = pd.DataFrame(swept_rows())
    swept.loc[swept["metric"].eq("bias_rel"), ["value", "lo"]] = 0.0, np.nan
    every = pd.concat([rows, swept])
    assert [name for name in FIGURES if isinstance(drawn(every, name), str)] == []


def test_figures_draw_what_the_rows_say() -> None:
    rows = prepare(everything_rows())
    parts = families._parts(rows).loc[(TOYS[0], "", "cpu", "straight-through")]
    toy = rows[(rows["task"] == TOYS[0]) & (rows["estimator"] == "straight-through") & (rows["group"] == "cut")]
    value = toy.set_index("metric")["value"]
    assert parts["squared bias", "value"] == pytest.approx(value["bias_rel"] ** 2)
    assert parts["variance", "value"] == pytest.approx(value["var_total"] / 9)
    bits = probability._points(rows)
    assert bits.groupby("estimator")["p"].apply(list).to_dict() == {
        "disarm": pytest.approx([0.1192, 0.8808], abs=1e-4),
        "rloo:n=4": pytest.approx([0.5, 0.1192, 0.8808], abs=1e-4),
    }
    figure = drawn(rows, "time-to-target")
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not reached"]
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines[:1]] == [[3.5]]


def test_a_panel_has_the_estimators_that_were_measured_there() -> None:
    rows = realistic_rows()
    figure = drawn(rows, "phases")
    names = {axes.get_title("left"): [label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes}
    lists = {title.replace("\n", " "): set(shown) for title, shown in names.items()}
    assert lists["mnist-vae"] == set(ESTIMATORS) - {"exact"}
    assert lists["mnist-vae, arch=categorical"] == set(ESTIMATORS) - {"exact", "disarm"}


def test_what_does_not_apply_is_no_failure() -> None:
    rows = [row(estimator="fixed", task="bit", group="cut", metric="var_total", status="not applicable")]
    assert tables_of(pd.DataFrame(rows))[-1].text.empty


def test_a_sweep_is_names_that_differ_in_one_number() -> None:
    from dvae_bench.bench.report.figures.sweeps import _points

    lone = row(estimator="gumbel-softmax:rate=0.001,tau=1.0", task=TOYS[0], group="cut", metric="var_total", value=1.0)
    points = _points(prepare(pd.DataFrame([*swept_rows(), lone])))
    assert points[["parameter", "line", "x"]].to_numpy().tolist() == [
        ["tau", "gumbel-softmax", 0.1],
        ["tau", "gumbel-softmax", 0.5],
        ["tau", "gumbel-softmax", 2.0],
    ]
    assert points["bias_hollow"].tolist() == [True, False, False]
    assert points["variance_hollow"].tolist() == [False, False, True]


def test_the_own_objective_has_a_column_of_its_own() -> None:
    shared = {"estimator": "relaxed", "task": "bit", "metric": "bias_p"}
    p = {"cut": 1e-9, "value": 1e-9, "cut (own)": 0.4, "value (own)": 0.7}
    toys = tables_of(pd.DataFrame([row(**shared, group=group, value=value) for group, value in p.items()]))[0]
    line = toys.numbers.iloc[0]
    assert line["verdict"] == "biased" and line["other_groups"] == "biased: all groups"
    assert line["own_objective"].startswith("all unbiased") and "own objective" in toys.text
    wrong = pd.DataFrame([row(**shared, group=group, value=1e-9) for group in p])
    assert tables_of(wrong)[0].numbers["own_objective"].tolist() == ["biased: all groups"]
    assert "own objective" not in tables_of(wrong[~wrong["group"].str.endswith("(own)")])[0].text


def test_an_unknown_figure_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no figure 'biass'; nearest: bias"):
        write_figures(small_rows(), tmp_path, ["biass"])


@pytest.mark.parametrize(("look", "inches"), [("paper", (7.2, 3.5)), ("notebook", (8.0, 4.2)), ("talk", (11.0, 6.0))])
def test_figures_have_the_width_of_where_they_go_and_larger_letters_on_slides(
    tmp_path: Path, look: str, inches: tuple[float, float]
) -> None:
    rows = pd.concat([everything_rows(), pd.DataFrame(swept_rows())])
    for columns, wanted in zip((2, 1), inches, strict=True):
        widths = {name: figure.get_figwidth() for name in FIGURES if (figure := drawn(rows, name, look, columns))}
        assert widths == dict.fromkeys(FIGURES, wanted) | dict.fromkeys(NARROW, inches[1])
    write_figures(rows, tmp_path, ["kl"], look, columns=1)
    size = re.search(r'width="([\d.]+)pt"', (tmp_path / "kl.svg").read_text())
    assert size is not None and float(size[1]) == pytest.approx(72 * inches[1]), "what is saved is what was drawn"


def test_fonts_are_embedded(tmp_path: Path) -> None:
    write_figures(small_rows(), tmp_path, ["bias"])
    pdf = (tmp_path / "bias.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert "<text" not in (tmp_path / "bias.svg").read_text(), "letters are paths"


def test_drawing_leaves_the_callers_settings_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    write_figures(small_rows(), tmp_path, ["phases"])
    assert dict(mpl.rcParams) == before


def test_tables_need_neither_seaborn_nor_torch() -> None:
    code = "import sys, dvae_bench.bench.report; print({'torch', 'seaborn', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_toy_on_data_is_a_toy_and_its_rounding_no_variance() -> None:
    from dvae_bench.bench.report.figures.variance_cost import _toy_panels

    on_data = pd.DataFrame(toy_rows("exact", "tiny-vae", np.random.default_rng(0))).assign(data="mnist-5k")
    on_data.loc[on_data["metric"] == "var_total", "value"] = 1e-15
    norm = row(estimator="exact", task="tiny-vae", data="mnist-5k", group="cut", metric="gradient_norm", value=2.7)
    rows = prepare(pd.concat([on_data, pd.DataFrame([norm])]))
    toys, _, training, *_ = tables_of(rows)
    assert toys.text[["task", "data"]].to_numpy().tolist() == [["tiny-vae", "mnist-5k"]] and training.text.empty
    assert [panel.points["y"].tolist() for panel in _toy_panels(rows)] == [[0.0]]


def test_what_draws_nothing_has_no_variance() -> None:
    shared = {"estimator": "fixed", "task": "bit", "group": "cut"}
    rows = [row(**shared, metric="bias_p", value=0.0), row(**shared, metric="bias_rel", value=2.0)]
    rows.append(row(**shared, metric="var_total", status="not applicable", reason="it draws nothing"))
    (toys, *_) = tables_of(pd.DataFrame(rows))
    assert toys.text["variance"].tolist() == ["not applicable"] and toys.numbers["variance"].isna().all()


def test_a_figure_is_drawn_again_only_where_something_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, memory, drawn = small_rows(), tmp_path / "drawn.json", list[str]()

    def draw(name: str, rows: pd.DataFrame, paths: list[Path], view: View) -> str:
        drawn.append(name)
        for path in paths if name == "bias" else []:
            path.write_text(name)
        return "" if name == "bias" else "no basket"

    monkeypatch.setattr(figures_module, "_draw", draw)

    def report(of: pd.DataFrame = rows, look: str = "paper") -> tuple[list[Path], list[str]]:
        drawn.clear()
        return write_figures(of, tmp_path, ["bias", "basket"], look, memory=memory)

    first = report()
    assert drawn == ["bias", "basket"] and report() == first and drawn == []
    other = rows.assign(value=rows["value"].where(rows.index > 0, rows["value"] + 1e-9))
    for changed in (lambda: report(look="talk"), report, lambda: report(other), report):
        changed()
        assert drawn == ["bias", "basket"]
    (tmp_path / "bias.svg").unlink()
    report()
    assert drawn == ["bias"]
    for damage in (b"", b"[1]", b"[" * 100_000, json.dumps({"bias": 3}).encode()):
        memory.write_bytes(damage)
        assert report() == first and drawn == ["bias", "basket"]
