"""`load`: the answers, rows, tables and figures of a stored run, in Python."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from dvae_bench import Results, UsageError, load
from dvae_bench.bench.report import verdicts
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.store.store import Store
from matplotlib import pyplot
from tiny import VAE, grid

SWEEP = "gumbel-softmax:tau={.1,.5,1}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a sweep and of two score functions on a toy and on MNIST."""
    store = Store(tmp_path_factory.mktemp("results") / "run")
    store.write_context({})
    cells = grid("rloo", "reinforce", SWEEP, "stratified", sources="draws clock")
    cells += grid("rloo", "reinforce", tasks=VAE, sources="steps")
    counts = run_cells(cells, store, Progress())
    assert set(counts) <= {"ok", "unsupported"}
    return store.folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return load(folder)


def test_rows_have_hyperparameters_with_defaults_as_columns(results: Results) -> None:
    rows = results.rows.drop_duplicates("estimator").set_index("estimator")
    taus = rows["estimator_tau"].dropna().to_dict()
    assert taus == {"gumbel-softmax:tau=0.1": 0.1, "gumbel-softmax": 0.5, "gumbel-softmax:tau=1.0": 1.0}
    assert rows.loc[["rloo", "reinforce"], "estimator_n"].tolist() == [2, 1] and rows["estimator_n"].dtype == "Int64"
    assert rows["estimator_tau"].dtype == "float64"
    assert set(results.rows.query("task == 'bit:d=2'")["task_d"]) == {2}
    assert set(results.rows.query("task.str.startswith('mnist')")["task_arch"]) == {"linear"}


def test_rows_of_a_plugin_that_is_not_installed_have_what_their_names_state(tmp_path: Path, folder: Path) -> None:
    store, part = Store(tmp_path), Store.open(folder).parts()[0]
    rows = part.table().to_pandas().assign(estimator="theirs:a=2").to_dict("records")
    store.write_context({})
    store.write("0" * 64, "ok", {}, rows)
    assert set(load(tmp_path).rows["estimator_a"]) == {2}


def test_the_verdict_is_in_the_rows(results: Results) -> None:
    rows = results.rows
    found = verdicts(rows)["verdict"].xs("cut", level="group").droplevel(["task", "data", "device"])
    assert set(found) == {"biased", "unbiased"}
    for metric in ("var_total", "evaluations", "time_total"):
        own = rows[(rows["metric"] == metric) & (rows["task"] == "bit:d=2") & rows["group"].isin(["cut", ""])]
        assert len(own) and own["verdict"].tolist() == found.reindex(own["estimator"]).tolist()
    assert set(rows.loc[rows["source"] == "steps", "verdict"]) == {""}


def test_no_number_is_lost_or_changed(results: Results, folder: Path) -> None:
    stored = Store.open(folder).rows()
    pd.testing.assert_series_equal(results.rows["value"], stored["value"], check_index=False)
    assert set(stored.columns) < set(results.rows.columns)


def test_only_chooses_estimators_and_tasks_by_glob(results: Results) -> None:
    some = results.only(estimator="gumbel*", task="bit*")
    assert set(some.rows["estimator"]) == {name for name in results.rows["estimator"] if name.startswith("gumbel")}
    assert set(some.rows["task"]) == {"bit:d=2"} and len(repr(some).splitlines()) == 3
    pd.testing.assert_frame_equal(results.only().rows, results.rows)
    with pytest.raises(UsageError, match=r"no row has estimator='\*' and task='byte'; there are bit:d=2, mnist-vae"):
        results.only(task="byte")


def test_a_table_is_its_numbers(results: Results) -> None:
    toys = results.table("toys").set_index("estimator")
    assert toys.loc["rloo", "verdict"] == "unbiased" and toys.loc["rloo", "evaluations"] == 2
    assert len(results.table("training")) == 2
    with pytest.raises(UsageError, match="no table 'toy'; nearest: toys"):
        results.table("toy")


def test_the_repr_answers_first(results: Results) -> None:
    toy, unbiased, steps, seconds, last = repr(results).splitlines()
    assert re.match(r"bit:d=2, bernoulli 2, least error: [\w:=.-]+ 0\.\d+ \[", toy)
    assert re.match(r"bit:d=2, bernoulli 2, of the unbiased: ", unbiased)
    assert re.match(r"mnist-vae.+, after 4 steps: r\w+ -\d+.* nats", steps) and " s of training: " in seconds
    assert re.search(r" rows; see \.rows, \.table\('toys' or 'efficiency' or 'training'\), \.plot\(name\)$", last), last


def test_the_sweep_is_drawn_within_the_callers_axes(results: Results) -> None:
    figure, (ax, other) = pyplot.subplots(1, 2, figsize=(14, 4))
    assert results.plot("sweeps", ax=ax) is None
    bias, variance = ax.child_axes
    assert (bias.get_ylabel(), variance.get_ylabel()) == ("relative bias", "variance (logits)")
    assert variance.lines[0].get_xdata().tolist() == [0.1, 0.5, 1.0]
    figure.draw_without_rendering()
    frame, inside = ax.get_window_extent(), [each.get_tightbbox() for each in (bias, variance, ax.get_legend())]
    assert all(frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1 for box in inside)
    assert inside[2].y1 <= inside[0].y0 and not other.has_data()
    pyplot.close(figure)


def test_panels_go_into_as_many_axes(results: Results) -> None:
    figure, axes = pyplot.subplots(2, figsize=(5, 6))
    results.plot("sweeps", ax=axes)
    assert [each.get_ylabel() for each in axes] == ["relative bias", "variance (logits)"]
    assert axes[0].get_legend() is not None and axes[0].axison
    with pytest.raises(UsageError, match=r"'sweeps' of these rows has 2 panels: give as many Axes, not 3"):
        results.plot("sweeps", ax=[*axes, axes[0]])
    pyplot.close(figure)


def test_a_single_panel_is_the_callers_axes(results: Results) -> None:
    figure, ax = pyplot.subplots()
    results.plot("bias", ax=ax)
    assert ax.get_xlabel() == "relative bias" and ax.lines and not ax.child_axes
    assert {each.get_text() for each in ax.get_yticklabels()} == set(results.table("toys")["estimator"])
    pyplot.close(figure)


def test_what_cannot_be_drawn_says_why(results: Results) -> None:
    figure, ax = pyplot.subplots(figsize=(1, 0.5))
    with pytest.raises(UsageError, match="no figure 'sweep'; nearest: sweeps"):
        results.plot("sweep")
    for where in (None, ax):
        with pytest.raises(UsageError, match="no figure 'basket': no run measured a basket"):
            results.plot("basket", ax=where)
    with pytest.raises(UsageError, match=r"2 panels do not fit into this Axes of 0\.8 by 0\.4 inches"):
        results.plot("sweeps", ax=ax)
    tall, narrow = pyplot.subplots(figsize=(1.5, 4))
    with pytest.raises(UsageError, match=r"2 panels do not fit .*: make its figure larger, give one Axes per panel"):
        results.plot("sweeps", ax=narrow)
    pyplot.close(tall)
    assert ax.axison and narrow.axison and not ax.child_axes + narrow.child_axes
    with pytest.raises(UsageError, match="ax is an Axes of matplotlib or an array of them, not <Figure"):
        results.plot("bias", ax=figure)
    pyplot.close(figure)


def test_without_axes_a_notebook_shows_the_figure(results: Results) -> None:
    figure = results.plot("bias")
    assert figure._repr_png_().startswith(b"\x89PNG") and len(figure.axes) == 1


def test_a_damaged_part_is_left_out_with_a_warning(tmp_path: Path, folder: Path) -> None:
    store = Store(tmp_path)
    store.write_context({})
    for part in (folder / "cells").iterdir():
        (store.cells / part.name).write_bytes(part.read_bytes())
    (store.cells / part.name).write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match=f"left out, damaged: .*{part.name}"):
        kept = load(tmp_path)
    assert 0 < len(kept.rows) < len(load(folder).rows)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no results"):
        load(tmp_path)
