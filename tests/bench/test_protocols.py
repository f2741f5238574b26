"""Protocols: their files, scaling down, selecting hyper-parameters, fitting a budget, the table beside the paper."""

from __future__ import annotations

import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from dvae_bench.bench import protocols
from dvae_bench.bench.protocols.agreement import difference
from dvae_bench.bench.protocols.excerpt import only
from dvae_bench.bench.protocols.forecast import RESERVED, costs, duration, fitting, seconds
from dvae_bench.bench.protocols.probe import PROBE_IW_IMAGES, PROBE_SAMPLES, Pace, _log_z, _pace
from dvae_bench.bench.protocols.protocol import Method, Protocol
from dvae_bench.bench.protocols.scale import IMAGES, Scale, scaled, settings_at, trial_settings_at, trials
from dvae_bench.bench.protocols.search_table import search_table
from dvae_bench.bench.protocols.selection import chosen
from dvae_bench.bench.protocols.table import reproduction_table
from dvae_bench.bench.rows import outcome
from dvae_bench.bench.rows import row as measured
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import TASKS
from dvae_bench.tasks.vae.autoencoder import CHAINS, FINAL_CHAINS
from dvae_bench.tasks.vae.boltzmann import Boltzmann
from dvae_bench.tasks.vae.datasets import load_mnist
from scipy.stats import binom, kstest
from tiny import one_cell

TINY = Protocol(
    name="tiny",
    about="Two methods.",
    citation="Nobody 2000",
    table="Table 1",
    numbers="verified",
    data="mnist",
    task="mnist-vae",
    metric="-elbo_train",
    select="best train",
    seeds=3,
    values={"arch": "linear", "batch": 50},
    settings={"dynamic": {}, "static": {"binarisation": "static-seeded"}},
    methods=(
        Method("A", "rloo", {}, {"dynamic": [100.0, 0.5], "static": 90.0}),
        Method("B", "gumbel-softmax:tau={0.1,0.5,1.0}", {}, {"dynamic": [105.0, 0.5]}),
    ),
    steps=10_000,
    selection_seeds=(1000, 1001),
    sweep={"lr": [1e-4, 1e-3]},
)
FULL = Scale.full(TINY)


class TestFiles:
    @pytest.mark.parametrize("name", protocols.names())
    def test_every_protocol_file_is_complete(self, name: str) -> None:
        protocol = protocols.load(name)
        assert list(protocol.lines()) and protocol.length > 0
        assert (protocol.numbers == "none") == (not any(method.published for method in protocol.methods))
        known = TASKS.find(protocol.task).fact("hyperparameters")
        stated = {"binarisation", "split", *({"likelihood"} & set(known))}
        assert protocol.source != "steps" or stated <= set(protocol.values)

    @pytest.mark.parametrize("name", protocols.names())
    def test_names_and_values_are_known_at_any_length(self, name: str) -> None:
        protocol = protocols.load(name)
        sweeps = [trials(protocol, *line, Scale(n, 1)) for line in protocol.lines() for n in (1, protocol.length)]
        assert all(len(set(sweep)) == len(sweep) for sweep in sweeps)

    def test_annealing_and_warm_up_are_among_the_parameters_that_scale(self) -> None:
        protocol = protocols.load("jang-2017-vae")
        rates = [m.estimator for m in protocol.methods if "rate=" in m.estimator]
        assert rates and "warmup" in protocols.load("hooper-2026-mnist").values

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("seeds = 3", "sedes = 3"), ["unknown key 'sedes'", "nearest: seeds"]),
            (("seeds = 3", ""), ["no key 'seeds'"]),
            (("seeds = 3", "seeds = true"), ["seeds must be a whole number", "True"]),
            (("seeds = 3", "seeds = 3\nepochs = 2"), ["either steps or epochs"]),
            (("steps = 5", "steps = -5\nepochs = 2"), ["either steps or epochs"]),
            (("seeds = 3", "seeds = 3\nselection_seeds = [2]"), ["selection seed", "0 to 2"]),
            (("seeds = 3", "seeds = 3\n[sweep]\nlr = [1.0]"), ["a sweep needs selection_seeds"]),
            (('"verified"', '"sure"'), ["numbers must be one of verified, recalled, none"]),
            (('"verified"', '"none"'), ["numbers are none", "'A'"]),
            (("published = { one", "published = { two"), ["'A' has numbers in 'two'", "nearest: one"]),
            (("best train", "best valid"), ["validation images", "50k/10k/10k"]),
            (("one = 1.0", 'one = "1"'), ["a finite value or [value, spread]"]),
            (("one = 1.0", "one = true"), ["a finite value or [value, spread]"]),
            (("one = 1.0", "one = [1.0, -0.5]"), ["spread at least 0"]),
            (("one = 1.0", "one = inf"), ["finite"]),
            (('"elbo_train"', '"elbo_tset"'), ["metric must be one of", "nearest: elbo_test"]),
            (('"elbo_train"', '"elbo_valid"'), ["validation images", "50k/10k/10k"]),
            (('"elbo_train"', '"loss_test"'), ["metric must be one of", "'loss_test'"]),
            (("seeds = 3", "seeds = 3\nselection_seeds = [7, 7]"), ["different numbers from 0"]),
            (("seeds = 3", "seeds = 3\nselection_seeds = [-1]"), ["different numbers from 0"]),
            (("seeds = 3", "seeds = 3\n[measuring]\nsteps = 4"), ["measuring is of toys"]),
            (('method = "A"', 'methods = "A"'), ["a method has an unknown key 'methods'"]),
            (("[settings]", "[settings"), ["not TOML"]),
            (("seeds = 3", "seeds = 3\ntrials = 1"), ["trials must be 0 for a grid, or at least 2"]),
            (("seeds = 3", "seeds = 3\ntrials = 4"), ["'A' has no range to draw 4 trials from"]),
            (("seeds = 3", 'seeds = 3\nselection_seeds = [9]\n[sweep]\nlr = "1..2"'), ["'A' has a range of lr"]),
            (
                ("seeds = 3", 'seeds = 3\nselection_seeds = [9]\n[sweep]\nlr = "2..1"'),
                ["a list of values or a range", "'2..1'"],
            ),
            (("seeds = 3", 'seeds = 3\nselection_seeds = [9]\n[sweep]\nlr = "fast"'), ["sweep.lr must be a list"]),
        ],
    )
    def test_a_wrong_file_is_refused(self, tmp_path: Path, change: tuple[str, str], words: list[str]) -> None:
        good = (
            'about = "a"\ncitation = "c"\ntable = "t"\nnumbers = "verified"\ndata = "mnist"\ntask = "mnist-vae"\n'
            'steps = 5\nmetric = "elbo_train"\nselect = "best train"\nseeds = 3\n[values]\nbatch = 10\n'
            '[settings]\none = {}\n[[methods]]\nmethod = "A"\nestimator = "rloo"\npublished = { one = 1.0 }\n'
        )
        path = tmp_path / "mine.toml"
        path.write_text(good)
        assert protocols.load(str(path)).methods[0].value("one") == 1.0
        path.write_text(good.replace(*change))
        with pytest.raises(UsageError) as refusal:
            protocols.load(str(path))
        assert all(word in str(refusal.value) for word in ("mine.toml", *words))

    @pytest.mark.parametrize("own", [{"batch": 5}, {"split": "60k/10k"}])
    def test_epochs_of_two_lengths_are_refused(self, own: dict[str, Any]) -> None:
        table: dict[str, Any] = {name: getattr(TINY, name) for name in ("about", "citation", "table", "data", "task")}
        table |= {"numbers": "none", "epochs": 5, "metric": "elbo_train", "seeds": 1, "values": {"batch": 50}}
        table |= {"methods": [{"method": "A", "estimator": "rloo"}], "settings": {"one": {}}}
        assert protocols.from_table(table, "mine").length == 5 * 1200
        with pytest.raises(UsageError, match=r"'one' has its own (batch|split), so that epochs have no one length"):
            protocols.from_table(table | {"settings": {"one": own}}, "mine")

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(UsageError, match="no protocol is called 'hooper-2026'; nearest: hooper-2026-mnist"):
            protocols.load("hooper-2026")


class TestScale:
    def test_warm_up_shortens_and_rates_quicken(self) -> None:
        task = Name.parse("mnist-vae:lr=0.1,warmup=3000")
        assert scaled(task, 0.01) == Name.parse("mnist-vae:lr=0.1,warmup=30")
        assert scaled(Name.parse("mnist-vae:kl_warmup=3000"), 0.01) == Name.parse("mnist-vae:kl_warmup=30")
        assert scaled(Name.parse("gumbel-softmax:rate=1e-5,tau=1"), 0.01) == Name.parse(
            "gumbel-softmax:rate=1e-3,tau=1"
        )

    def test_words_name_everything_that_is_less(self) -> None:
        assert FULL.words(TINY) == ""
        assert Scale(10, 3).words(TINY) == "scaled down to 10 of 10000 steps"
        assert "1 of 3 seeds, one value of each sweep" in Scale(10_000, 1, trials=1).words(TINY)

    def test_full_length_evaluates_everything(self) -> None:
        assert settings_at(TINY, FULL).images == IMAGES
        assert settings_at(TINY, Scale(200, 3)).images < 1000

    def test_the_importance_weighted_bound_is_measured_where_it_is_asked_for(self) -> None:
        bound = replace(TINY, metric="iw_test")
        for scale in (FULL, Scale(200, 3)):
            assert settings_at(TINY, scale).iw_images == 0 < settings_at(bound, scale).iw_images

    def test_the_sweep_is_of_task_and_estimator(self) -> None:
        assert len(trials(TINY, TINY.methods[1], "dynamic", FULL)) == 6
        ((estimator, task),) = trials(TINY, TINY.methods[1], "static", Scale(10, 1, trials=1))
        assert estimator == Name("gumbel-softmax") and "static" in str(task)

    def test_two_methods_of_one_name_are_told_apart(self) -> None:
        """As in the paper of ReinMax, where its temperature depends on the setting."""
        twice = replace(
            TINY,
            methods=(
                Method("R", "reinmax:tau=1.3", {}, {"dynamic": 1.0}),
                Method("R", "reinmax:tau=1.5", {}, {"static": 2.0}),
            ),
        )
        assert [str(method.estimator) for method in only(twice, ["reinmax:tau=1.3"]).methods] == ["reinmax:tau=1.3"]
        assert len(only(twice, ["R"]).methods) == 2
        with pytest.raises(UsageError, match="no 'R' in 'static'"):
            only(twice, ["reinmax:tau=1.3"], ["static"])
        brackets = replace(TINY, methods=(Method("R [ours]", "rloo", {}, {"dynamic": 1.0}),))
        assert only(brackets, ["R [ours]"]) == brackets

    def test_methods_are_selected_by_name_or_estimator(self) -> None:
        assert [method.method for method in only(TINY, ["gumbel-*"]).methods] == ["B"]
        with pytest.raises(UsageError, match="tiny has no method 'C'"):
            only(TINY, ["C"])


def cell(
    trial: tuple[Name, Name], seed: int, value: float, data: str = "mnist", metric: str = "elbo_train", **given: Any
) -> dict[str, Any]:
    """A training that ended at the negative ELBO `value`, or diverged where that is infinite."""
    identity = {"estimator": str(trial[0]), "task": str(trial[1]), "seed": seed, "source": "steps", "data": data}
    if np.isinf(value):
        return outcome("diverged", "by step 3") | identity
    return measured(metric, -value, 10, direction="higher", step=10_000) | identity | given


def sweep(method: Method, setting: str, values: list[float], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    found = trials(TINY, method, setting, FULL)
    return [cell(variant, seed, value) for variant, value in zip(found, values, strict=True) for seed in seeds]


class TestSelection:
    def test_without_a_choice_the_trials_give_no_number(self) -> None:
        """Half of the selection is done: no trial has both seeds."""
        rows = pd.DataFrame(sweep(TINY.methods[0], "dynamic", [100.0, 150.0], TINY.selection_seeds[:1]))
        line = reproduction_table(rows, TINY, FULL).numbers.iloc[0]
        assert np.isnan(line["ours"]) and np.isnan(line["difference"]) and line["seeds"] == 0
        assert "2 of 2 trials have no result" in line["status"]

    def test_a_trial_that_failed_is_reported_beside_the_choice(self) -> None:
        a = TINY.methods[0]
        low, high = trials(TINY, a, "dynamic", FULL)
        rows = [cell(low, seed, 101.0) for seed in (*TINY.selection_seeds, 0, 1, 2)]
        line = reproduction_table(pd.DataFrame(rows), TINY, FULL).numbers.iloc[0]
        assert line["ours"] == 101.0 and line["status"] == "1 of 2 trials have no result"
        whole = pd.DataFrame([*rows, *(cell(high, seed, np.inf) for seed in TINY.selection_seeds)])
        assert reproduction_table(whole, TINY, FULL).numbers.iloc[0]["status"] == "reproduction", (
            "divergence is a result"
        )

    def test_a_last_value_that_is_not_finite_is_no_result(self) -> None:
        early, _ = trials(TINY, TINY.methods[0], "dynamic", FULL)
        rows = [cell(early, s, value, step=step) for s in TINY.selection_seeds for value, step in ((9.0, 5), (8.0, 10))]
        for row in rows[1::2]:
            row["value"] = -np.inf
        assert ("A", "dynamic") not in chosen(pd.DataFrame(rows), TINY, FULL)
        assert chosen(pd.DataFrame(rows), replace(TINY, report="best"), FULL)["A", "dynamic"] == early

    def test_a_diverged_trial_is_better_than_one_without_a_result_in_any_order(self) -> None:
        for trial in trials(TINY, TINY.methods[0], "dynamic", FULL):
            rows = pd.DataFrame([cell(trial, seed, np.inf) for seed in TINY.selection_seeds])
            assert chosen(rows, TINY, FULL)["A", "dynamic"] == trial

    def test_the_best_of_the_selection_seeds_whatever_the_others_say(self) -> None:
        b = TINY.methods[1]
        rows = sweep(b, "dynamic", [9, 8, 7, 3, 5, 6], TINY.selection_seeds)
        others = sweep(b, "dynamic", [1, 2, 3, 99, 5, 6], (0, 1, 2))
        line, best = ("B", "dynamic"), trials(TINY, b, "dynamic", FULL)[3]
        assert chosen(pd.DataFrame(rows), TINY, FULL)[line] == best
        assert chosen(pd.DataFrame(others + rows), TINY, FULL)[line] == best
        swapped = replace(TINY, selection_seeds=(0, 1))
        assert chosen(pd.DataFrame(others + rows), swapped, FULL)[line] != best

    def test_a_diverged_seed_ranks_last_and_a_missing_one_is_not_chosen(self) -> None:
        a = TINY.methods[0]
        low, high = trials(TINY, a, "dynamic", FULL)
        rows = [cell(low, 1000, 1.0), cell(low, 1001, np.inf), cell(high, 1000, 50.0), cell(high, 1001, 50.0)]
        assert chosen(pd.DataFrame(rows), TINY, FULL)["A", "dynamic"] == high
        assert chosen(pd.DataFrame(rows[:3]), TINY, FULL)["A", "dynamic"] == low
        assert ("A", "dynamic") not in chosen(pd.DataFrame(rows[2:3]), TINY, FULL)

    def test_the_last_value_or_the_best_along_training_is_compared(self) -> None:
        a = TINY.methods[0]
        early, late = trials(TINY, a, "dynamic", FULL)
        rows = [cell(v, s, value, step=step) for s in TINY.selection_seeds for v, value, step in
                ((early, 1.0, 5), (early, 9.0, 10), (late, 5.0, 5), (late, 4.0, 10))]  # fmt: skip
        assert chosen(pd.DataFrame(rows), TINY, FULL)["A", "dynamic"] == late
        assert chosen(pd.DataFrame(rows), replace(TINY, report="best"), FULL)["A", "dynamic"] == early


RANDOM = replace(
    TINY,
    select="best valid",
    metric="-iw_test",
    values={**TINY.values, "split": "50k/10k/10k"},
    sweep={"lr": "1e-4..1e-2"},
    methods=(Method("A", "rloo"), Method("B", "gumbel-softmax:tau={0.1..1}")),
    trials=8,
    selection_seeds=(1000,),
)


def random_rows(validation: list[float], training: list[float]) -> pd.DataFrame:
    """Rows of the trials of method B of RANDOM in the setting "dynamic", with minus their two ELBOs, and of seed 0."""
    tried = trials(RANDOM, RANDOM.methods[1], "dynamic", Scale.full(RANDOM))
    rows = [
        cell(trial, seed, value, metric=metric)
        for metric, values in (("elbo_valid", validation), ("elbo_train", training))
        for trial, value in zip(tried, values, strict=True)
        for seed in (1000, 0)
    ]
    return pd.DataFrame(rows)


class TestRandomSearch:
    def test_every_method_has_the_same_number_of_trials_within_the_ranges(self) -> None:
        both = [trials(RANDOM, method, "dynamic", Scale.full(RANDOM)) for method in RANDOM.methods]
        assert [len(set(tried)) for tried in both] == [8, 8]
        rates = [[task.values.get("lr", 1e-3) for _, task in tried] for tried in both]
        assert rates[0] == rates[1] and all(1e-4 <= rate <= 1e-2 for rate in rates[0])
        assert all(0.1 <= estimator.values.get("tau", 0.5) <= 1 for estimator, _ in both[1])

    def test_rates_are_uniform_on_a_log_scale(self) -> None:
        """Kolmogorov and Smirnov's test of 500 draws, at a false-alarm rate of 1e-3 for the fixed stream."""
        tried = trials(replace(RANDOM, trials=500), RANDOM.methods[0], "dynamic", Scale.full(RANDOM))
        shares = [np.log10(task.values.get("lr", 1e-3)) / 2 + 2 for _, task in tried]
        assert kstest(shares, "uniform").pvalue > 1e-3
        assert kstest([share**2 for share in shares], "uniform").pvalue < 1e-3

    def test_fewer_trials_are_the_first_ones_and_one_is_the_middle(self) -> None:
        a = RANDOM.methods[0]
        whole = trials(RANDOM, a, "dynamic", Scale.full(RANDOM))
        assert trials(RANDOM, a, "dynamic", Scale(10_000, 3, trials=3)) == whole[:3]
        ((_, middle),) = trials(RANDOM, a, "dynamic", Scale(10_000, 3, trials=1))
        assert "lr" not in middle.values  # 1e-3, the default
        assert Scale(10_000, 3, trials=3).words(RANDOM) == "scaled down to 3 of 8 trials"

    def test_a_planted_best_trial_is_chosen_and_not_its_twin_in_training(self) -> None:
        planted = random_rows([9, 8, 7, 9, 8, 1, 7, 9], [5, 5, 1, 5, 5, 6, 5, 5])
        tried = trials(RANDOM, RANDOM.methods[1], "dynamic", Scale.full(RANDOM))
        line = ("B", "dynamic")
        assert chosen(planted, RANDOM, Scale.full(RANDOM))[line] == tried[5]
        assert chosen(planted, replace(RANDOM, select="best train"), Scale.full(RANDOM))[line] == tried[2]

    def test_what_the_search_gained_is_a_table(self) -> None:
        table = search_table(random_rows([9, 8, 7, 9, 8, 1, np.inf, 9], [5] * 8), RANDOM, Scale.full(RANDOM))
        ((line,),) = [table.numbers.to_dict("records")]
        assert (line["method"], line["trials"], line["diverged"]) == ("B", 8, 1)
        assert (line["median"], line["best"], line["gain"], line["reporting seeds"]) == (8.5, 1, 7.5, 1)
        assert "minus the elbo_valid" in table.caption

    def test_trials_measure_what_the_selection_compares_and_nothing_else(self) -> None:
        for scale in (Scale.full(RANDOM), Scale(300, 1)):
            trial, report = trial_settings_at(RANDOM, scale), settings_at(RANDOM, scale)
            assert trial.steps == report.steps and trial.splits == ("valid",) and trial.evaluations == 1
            assert trial.iw_images == trial.variance_draws == trial.reference_draws == 0
            assert report.iw_images > 0 and report.splits == ()
        along = trial_settings_at(replace(RANDOM, report="best"), Scale.full(RANDOM))
        assert along.evaluations == RANDOM.evaluations


class TestExcerpt:
    def test_settings_are_chosen_by_name_or_glob(self) -> None:
        assert [setting for _, setting in only(TINY, settings=["stat*"]).lines()] == ["static"]
        assert only(TINY, settings=["dynamic", "static"]) == only(TINY) == TINY
        odd = replace(RANDOM, settings={"n=[1]": {}, "n=1": {}})
        assert list(only(odd, settings=["n=[1]"]).settings) == ["n=[1]"]

    def test_an_unknown_setting_is_refused_with_the_settings_there_are(self) -> None:
        with pytest.raises(UsageError, match="tiny has no setting 'larochelle'; its settings: 'dynamic', 'static'"):
            only(TINY, settings=["larochelle"])
        with pytest.raises(UsageError, match="tiny has no 'B' in 'static'; give other methods or settings"):
            only(TINY, ["B"], ["static"])


class TestForecast:
    PACES = {line: Pace(0.2, 0.01, 5e-5) for line in [("A", "dynamic"), ("A", "static"), ("B", "dynamic")]}

    @pytest.mark.parametrize(("budget", "most", "seeds"), [(2400.0, 0, 3), (60.0, 0, 3), (6.0, 1, 3), (3.0, 1, 1)])
    def test_a_protocol_is_scaled_down_to_what_fits_the_budget(self, budget: float, most: int, seeds: int) -> None:
        scale = fitting(TINY, FULL, budget, self.PACES)
        assert (scale.trials, scale.seeds) == (most, seeds)
        assert seconds(TINY, scale, self.PACES) <= budget * (1 - RESERVED)
        assert seconds(TINY, replace(scale, steps=scale.steps + 1), self.PACES) > budget * (1 - RESERVED)

    def test_training_and_evaluation_are_added_up_by_hand(self) -> None:
        pace = Pace(start=1.0, step=0.01, image=1e-3, draw=1e-6)
        found = costs(RANDOM, Scale.full(RANDOM), {(m.method, s): pace for m, s in RANDOM.lines()})
        tried, reported = found["dynamic"]
        assert (tried.cells, reported.cells) == (16, 6)
        assert (tried.training, reported.training) == pytest.approx((16 * 101, 6 * 101))
        data = load_mnist("50k/10k/10k")
        sizes = [len(split) for split in (data.train, data.valid, data.test)]
        report = 10 * sum(sizes) * 1e-3 + sizes[2] * RANDOM.samples * 1e-6
        assert (tried.evaluation, reported.evaluation) == pytest.approx((16 * sizes[1] * 1e-3, 6 * report))

    def test_a_pace_is_taken_from_the_ticks_of_a_probe(self) -> None:
        """Steps of 10 ms after twenty slower ones, evaluations of .5 s, a bound of 2 s and a start of 3 s."""
        trained = [0.4, 0.6, 0.8]
        ticks = [5.0, 5.7, 8.4]
        found = _pace(3 + 0.8 + 3 * 0.5 + 2, ticks, trained, images=2000, log_z=(0.0, 0.0))
        assert [found.start, found.step, found.image] == pytest.approx([3, 0.01, 0.5 / 2000])
        assert found.draw == pytest.approx(2 / (PROBE_IW_IMAGES * PROBE_SAMPLES))

    def test_log_z_of_the_prior_is_no_cost_of_an_image_or_a_draw(self) -> None:
        """Steps of 10 ms, evaluations of .2 s besides log Z (.3 s, at the last one 1.3 s), a bound of 2 s."""
        trained = [0.4, 0.6, 0.8]
        ticks = [5.0, 5.7, 9.4]
        pace = _pace(3 + 0.8 + 3 * 0.5 + 3, ticks, trained, images=2000, log_z=(0.3, 1.3))
        assert [pace.start, pace.step, pace.image] == pytest.approx([3, 0.01, 0.2 / 2000])
        assert [pace.draw, pace.log_z, pace.last_log_z] == pytest.approx([2 / 5000, 0.3, 1.3])
        shared = Pace(0.0, 0.0, 0.0, log_z=0.3, last_log_z=1.3)
        tried, reported = costs(RANDOM, Scale.full(RANDOM), {(m.method, s): shared for m, s in RANDOM.lines()})[
            "dynamic"
        ]
        assert (tried.evaluation, reported.evaluation) == pytest.approx((16 * 1.3, 6 * (9 * 0.3 + 1.3)))

    def test_only_an_rbm_takes_time_for_log_z_and_more_at_the_last_evaluation(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a clock that only the RBM moves, by a second per chain."""
        now = [0.0]

        def measure(self: Boltzmann, chains: int, generator: Any) -> dict[str, torch.Tensor]:
            now[0] += chains
            return {"log_z": torch.zeros(())}

        monkeypatch.setattr(time, "perf_counter", lambda: now[0])
        monkeypatch.setattr(Boltzmann, "measure", measure)
        tasks = "mnist-vae:arch=linear,n=48", "mnist-vae:arch=linear,left=24,n=48,prior=rbm"
        found = [_log_z(one_cell(source="steps", tasks=task)) for task in tasks]
        assert found == [(0, 0), (CHAINS, FINAL_CHAINS)]

    def test_everything_fits_in_a_year(self) -> None:
        assert fitting(TINY, FULL, 3e7, self.PACES) == FULL

    def test_too_little_is_refused(self) -> None:
        with pytest.raises(UsageError, match="one step of each cell of tiny takes about 1 s"):
            fitting(TINY, FULL, 0.5, self.PACES)

    def test_durations_are_read(self) -> None:
        assert [duration(text) for text in ("90s", "2m", "1.5h")] == [90, 120, 5400]
        for text in ("2", "m", "-1s", "infh", ""):
            with pytest.raises(UsageError, match="not a duration"):
                duration(text)


ONE = replace(TINY, sweep={"lr": [1e-3]}, methods=(TINY.methods[0], Method("B", "arm", {}, {"dynamic": [105.0, 0.5]})))


def ran(a: list[float], b: list[float], protocol: Protocol = ONE, scale: Scale = FULL, **given: Any) -> Any:
    """The table of method A and B in the setting "dynamic", from the negative ELBOs of their seeds."""
    rows = [
        cell(trials(protocol, method, "dynamic", scale)[0], seed, value, **given)
        for method, values in zip(protocol.methods, (a, b), strict=True)
        for seed, value in enumerate(values)
    ]
    table = reproduction_table(pd.DataFrame(rows), protocol, scale)
    return table, table.numbers.set_index(["setting", "method"]).loc["dynamic"]


GOOD = [101.0, 101.1, 101.2], [106.0, 106.1, 106.2]


class TestTable:
    def test_a_full_run_of_a_verified_protocol_is_a_reproduction(self) -> None:
        table, lines = ran(*GOOD)
        assert lines.loc["A", "difference"] == pytest.approx(1.1)
        half = 4.302653 * 0.1 / np.sqrt(3)
        assert lines.loc["A", "lo"] == pytest.approx(101.1 - half) and lines.loc["A", "status"] == "reproduction"
        assert table.caption.startswith("Reproduction of Nobody 2000, Table 1.")
        assert "1 of 1 pairs in the published order; none against it" in table.caption

    @pytest.mark.parametrize(
        ("change", "scale", "given", "words"),
        [
            ({}, Scale(100, 3), {"step": 100}, "scaled down"),
            ({}, FULL, {"step": 100}, "scaled down"),
            ({}, Scale(10_000, 3, trials=1), {}, "scaled down"),
            ({"metric": "-iw_test"}, FULL, {}, "no iw_test measured"),
            ({"numbers": "recalled"}, FULL, {}, "not verified"),
            ({"assumed": {"length": "10 steps"}}, FULL, {}, "length assumed"),
            ({"methods": tuple(replace(m, differs="other") for m in ONE.methods)}, FULL, {}, "differs: other"),
            ({}, FULL, {"data": "mnist-5k"}, "on mnist-5k"),
            ({"data": "fashion"}, FULL, {}, "data not here: fashion, on mnist"),
        ],
    )
    def test_anything_less_is_no_reproduction_and_has_no_difference(
        self, change: dict[str, Any], scale: Scale, given: dict[str, Any], words: str
    ) -> None:
        table, lines = ran(*GOOD, replace(ONE, **change), scale, **given)
        assert lines["difference"].isna().all() and (table.text["difference"] == "–").all()
        assert all(words in status for status in lines["status"])
        assert "no reproduction of Nobody" in table.caption and "Reproduction of" not in table.caption

    def test_fewer_seeds_are_compared_and_reported(self) -> None:
        table, lines = ran(*GOOD, replace(ONE, seeds=4), Scale(10_000, 3))
        assert lines.loc["A", "difference"] == pytest.approx(1.1) and lines.loc["A", "status"] == "3 of 4 seeds"
        assert "scaled down to 3 of 4 seeds: no reproduction of Nobody" in table.caption

    def test_a_diverged_seed_is_reported(self) -> None:
        _, lines = ran([101.0, np.inf, 101.2], GOOD[1])
        assert lines.loc["A", "status"] == "1 diverged" and np.isnan(lines.loc["A", "difference"])
        assert lines.loc["B", "status"] == "reproduction"

    def test_a_method_that_did_not_run_is_reported(self) -> None:
        table, lines = ran(GOOD[0], [])
        assert "not measured" in lines.loc["B", "status"] and np.isnan(lines.loc["B", "ours"])
        assert "pairs" not in table.caption

    def test_an_order_against_the_published_one_beyond_the_intervals_is_reported(self) -> None:
        caption = ran(GOOD[1], GOOD[0])[0].caption
        assert "AGAINST it beyond them: B before A in ours (101.10 and 106.10), after it in theirs" in caption
        assert "(105.00 and 100.00)" in caption

    def test_a_reversal_within_the_intervals_is_only_counted(self) -> None:
        caption = ran([99.0, 107.0, 112.0], [98.0, 106.0, 111.0])[0].caption
        assert "0 of 1 pairs" in caption and "1 reversed within the intervals" in caption and "AGAINST" not in caption

    def test_a_reversal_within_the_published_spread_is_only_counted(self) -> None:
        wide = replace(
            ONE, methods=tuple(replace(m, published={"dynamic": [m.value("dynamic"), 3.0]}) for m in ONE.methods)
        )
        assert "AGAINST" not in ran(GOOD[1], GOOD[0], wide)[0].caption

    def test_higher_is_better_unless_negated(self) -> None:
        _, lines = ran(*GOOD)
        assert lines["rank_ours"].tolist() == lines["rank_theirs"].tolist() == [1, 2]
        methods = tuple(replace(m, published={"dynamic": -m.value("dynamic")}) for m in ONE.methods)
        _, lines = ran(*GOOD, replace(ONE, metric="elbo_train", methods=methods))
        assert lines["rank_ours"].tolist() == lines["rank_theirs"].tolist() == [1, 2]
        assert lines.loc["A", "difference"] == pytest.approx(-1.1)

    def test_one_seed_has_no_interval(self) -> None:
        table, _ = ran([101.0], [99.0], replace(ONE, seeds=1), Scale(10_000, 1))
        assert table.text["ours"].tolist()[:2] == ["101.00", "99.00"]
        assert "one seed cannot say" in table.caption and "AGAINST" not in table.caption

    def test_two_seeds_have_their_range(self) -> None:
        table, _ = ran([106.0, 107.0], [101.0, 102.0], replace(ONE, seeds=2), Scale(10_000, 2))
        assert table.text["ours"].tolist()[0] == "106.50 (106.00 to 107.00)"
        assert "too few seeds" in table.caption and "AGAINST" in table.caption

    def test_the_table_is_written_in_three_formats(self, tmp_path: Path) -> None:
        table, _ = ran(*GOOD, replace(ONE, citation="A & B"))
        names = [path.name for path in table.write(tmp_path)]
        assert names == ["reproduction.csv", "reproduction.md", "reproduction.tex"]
        assert r"A \& B" in (tmp_path / "reproduction.tex").read_text()


TOY = replace(
    TINY,
    data="",
    task="polynomial",
    source="descent",
    metric="loss_epoch",
    seeds=1,
    values={"n": 2},
    measuring={"replicates": 4, "batch": 2},
    settings={"early": {"p": 1.5}, "late": {"p": 1.5}},
    reported={"early": {"step": 100}, "late": {"metric": "loss_end"}},
    methods=(Method("A", "zgr", {}, {"early": 0.2, "late": 0.1}),),
    steps=1000,
    evaluations=10,
    selection_seeds=(),
    sweep={},
)


def toy_rows(**blocks: list[float]) -> pd.DataFrame:
    """Rows of the only cell of TOY: `early` is of step 100, `middle` of step 500, `late` of the metric `loss_end`."""
    ((estimator, task),) = trials(TOY, TOY.methods[0], "early", Scale.full(TOY))
    identity = {"estimator": str(estimator), "task": str(task), "seed": 0, "source": "descent", "data": ""}
    at = {"early": ("loss_epoch", 100), "middle": ("loss_epoch", 500), "late": ("loss_end", 1000)}
    rows = [
        measured(at[name][0], float(np.mean(runs)), len(runs), step=at[name][1], blocks=runs, direction="lower")
        for name, runs in blocks.items()
    ]
    return pd.DataFrame([row | identity for row in rows])


class TestToys:
    def test_settings_are_those_of_the_source(self) -> None:
        full, tenth = settings_at(TOY, Scale.full(TOY)), settings_at(TOY, Scale(100, 1))
        assert (full.steps, full.evaluations, full.replicates, full.batch) == (1000, 10, 4, 2)
        assert (tenth.steps, tenth.evaluations) == (100, 1)

    def test_each_setting_reports_its_own_metric_and_step_with_the_runs_of_the_cell(self) -> None:
        rows = toy_rows(early=[0.1, 0.2, 0.3], middle=[9.0, 9.0, 9.0], late=[0.4, 0.5, 0.6])
        lines = reproduction_table(rows, TOY, Scale.full(TOY)).numbers.set_index("setting")
        assert lines["ours"].to_dict() == pytest.approx({"early": 0.2, "late": 0.5})
        assert lines["seeds"].tolist() == [3, 3] and lines["status"].tolist() == ["reproduction"] * 2
        assert lines.loc["early", "hi"] - lines.loc["early", "ours"] == pytest.approx(4.302653 * 0.1 / np.sqrt(3))

    def test_a_metric_or_step_that_is_missing_is_reported(self) -> None:
        lines = reproduction_table(toy_rows(middle=[9.0, 9.0], late=[1.0, 1.0]), TOY, Scale.full(TOY)).numbers
        assert lines["status"].tolist() == ["no loss_epoch measured", "reproduction"]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ('source = "descent"\n[reported]\none = { step = "last" }', ["step above 0"]),
            ('source = "steps"', ["polynomial is measured by", "not by steps"]),
            ('source = "drawing"', ["source must be one of draws"]),
            ('source = "descent"\n[measuring]\nrate = 1.0', ["unknown setting 'rate'"]),
            ('source = "descent"\nselection_seeds = [9]\n[sweep]\np = [1.0, 2.0]', ["only trainings are searched"]),
            ('source = "descent"\n[reported]\ntwo = { step = 1 }', ["'two', which is no setting"]),
            ('source = "descent"\n[reported]\none = { epoch = 1 }', ["must be a table of metric and step"]),
        ],
    )
    def test_a_wrong_file_is_refused(self, change: str, words: list[str]) -> None:
        text = (
            'about = "a"\ncitation = "c"\ntable = "t"\nnumbers = "none"\ndata = ""\ntask = "polynomial"\nsteps = 5\n'
            f'metric = "loss_epoch"\nseeds = 1\n{change}\n[values]\n[settings]\none = {{}}\n'
            '[[methods]]\nmethod = "A"\nestimator = "zgr"\n'
        )
        with pytest.raises(UsageError) as refusal:
            protocols.from_table(tomllib.loads(text), "mine")
        assert all(word in str(refusal.value) for word in words)


def against(runs_of_ours: np.ndarray, theirs: float, runs: int, spread: float = np.nan) -> bool:
    """Whether theirs agrees with ours."""
    line = {"ours": runs_of_ours.mean(), "theirs": theirs, "spread": spread, "seeds": len(runs_of_ours)}
    line |= {
        "sd": runs_of_ours.std(ddof=1) if len(runs_of_ours) > 1 else np.nan,
        "least": runs_of_ours.min(),
        "most": runs_of_ours.max(),
    }
    found = difference(line, runs)
    return found.lo <= 0 <= found.hi


class TestAgreement:
    @pytest.mark.parametrize(
        ("n", "runs", "spread"), [(10, 1, False), (5, 5, True), (40, 1, False), (3, 5, True), (1, 5, True)]
    )
    def test_five_in_a_hundred_differ_by_chance(self, n: int, runs: int, spread: bool) -> None:
        """The share over 2,000 simulations is binomial; a false alarm has a probability of 1e-4."""
        random = np.random.default_rng(n)

        def agrees() -> bool:
            own, other = random.normal(3, 2, n), random.normal(3, 2, runs)
            return against(own, other.mean(), runs, other.std(ddof=1) if spread else np.nan)

        hits = sum(agrees() for _ in range(2000))
        assert binom.ppf(5e-5, 2000, 0.95) <= hits <= binom.isf(5e-5, 2000, 0.955)

    def test_an_unknown_number_of_runs_counts_as_one(self) -> None:
        line = {"ours": 57.4, "theirs": 57.9, "sd": 0.1, "seeds": 5, "least": 57.3, "most": 57.5, "spread": 0.1}
        assert difference(line, 0) == difference(line, 1) != difference(line, 5)

    def test_a_difference_is_found(self) -> None:
        own = np.random.default_rng(0).normal(3, 0.1, 10)
        assert against(own, 3.05, 1) and not against(own, 4.0, 1) and not against(own, 3.3, 5, 0.1)

    def test_one_run_beside_no_spread_has_no_interval(self) -> None:
        line = {"ours": 3.0, "theirs": 2.0, "spread": np.nan, "seeds": 1, "sd": np.nan}
        assert np.isnan(difference(line, 5).lo) and np.isnan(difference(line | {"spread": 0.5}, 1).hi)

    def test_an_exact_number_agrees_up_to_its_last_digit_and_rounding(self) -> None:
        line = {"ours": 0.27808, "lo": 0.2780799, "hi": 0.2780801, "sd": 0.0, "seeds": 40, "spread": np.nan}
        line |= {"least": 0.27808, "most": 0.27808}
        for theirs, agrees in ((0.27808, True), (0.2781, True), (0.27809, False), (0.278082, False)):
            found = difference(line | {"theirs": theirs}, 1)
            assert (found.lo <= 0 <= found.hi) is agrees
