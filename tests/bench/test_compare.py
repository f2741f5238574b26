"""Verdicts between two runs: error rates and power on simulated rows, wording, intervals, and the second look."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from dvae_bench.bench.compare import Comparison, Run, compare
from dvae_bench.bench.compare.answer import answer
from dvae_bench.bench.compare.bias import BiasTest, judge_bias
from dvae_bench.bench.compare.effect import Effect, difference, log_ratio, paired_ratio, ratio
from dvae_bench.bench.compare.gate import DEFAULT, Gate
from dvae_bench.bench.compare.judge import Verdict, judge
from dvae_bench.bench.compare.runs import StoredCell, Subject
from dvae_bench.bench.compare.show import junit, lines, markdown, summary
from dvae_bench.bench.rows import Row, outcome, row
from dvae_bench.bench.statistics import intervals as st
from dvae_bench.bench.store.store import Store

BLOCKS, ROWS = 64, 4000
N = BLOCKS * ROWS
IDENTITY = {"estimator": "rloo", "family": "rloo", "task": "bit", "data": "", "source": "draws", "device": "cpu"}
SUBJECT = Subject("bit", "", "cpu", "rloo", "draws")
CPU = {"device_name": "A", "cpu": "A", "threads": 1, "versions": {"torch": "2.13"}}


def cell(rows: list[Row], seed: int = 0, status: str = "ok", **identity: str) -> StoredCell:
    """A stored draws cell of these measurements."""
    who = IDENTITY | identity | {"seed": seed, "collector": "", "tuned_steps": 0}
    return StoredCell({"settings": {"rows": ROWS}}, status, [who | measured for measured in rows])


def drawn(generator: np.random.Generator, spread: float = 0.02, scale: float = 1.0, bias: float = 0.0) -> list[Row]:
    """The rows of draws with variance scale² in 4 coordinates; `spread` is the relative sd of a block's variance."""
    shape = 1 / spread**2
    blocks = scale**2 * generator.gamma(shape, 1 / shape, BLOCKS)
    means = bias + scale / np.sqrt(4 * ROWS) * generator.standard_normal((BLOCKS, 4))
    se = float(blocks.std(ddof=1) / np.sqrt(BLOCKS))
    norm = st.bias_norm(SimpleNamespace(block_means=means), np.zeros(4))  # type: ignore[arg-type]
    z = abs(means.mean()) / (means.std(ddof=1) / np.sqrt(means.size))
    return [
        row("gradient_norm", 0.2, N, group="cut"),
        row("bias_norm", norm, N, group="cut"),
        row("bias_p", math.erfc(z / math.sqrt(2)), N, group="cut"),
        row("var_total", st.Quantity(float(blocks.mean()), se), N, group="cut", blocks=blocks.tolist()),
    ]


def words(base: list[Row], new: list[Row], seeds: tuple[int, int] = (0, 1), **context: Any) -> dict[str, str]:
    """metric -> word."""
    sides = {SUBJECT: ([cell(base, seeds[0])], [cell(new, seeds[1])])}
    return {verdict.metric: verdict.word for verdict in judge(sides, CPU, CPU | context)}


class TestSizeAndPower:
    @pytest.mark.parametrize("spread", [0.02, 0.3, 1.0], ids=["narrow", "wide", "very wide"])
    def test_the_same_code_twice_is_seldom_worse(self, spread: float) -> None:
        generator = np.random.default_rng(0)
        found = [words(drawn(generator, spread), drawn(generator, spread)) for _ in range(1000)]
        for metric in ("var_total", "bias_norm", "bias"):
            assert sum(each[metric] == "worse" for each in found) <= 10, metric

    def test_the_same_code_twice_is_mostly_the_same(self) -> None:
        generator = np.random.default_rng(1)
        found = [words(drawn(generator), drawn(generator)) for _ in range(300)]
        assert sum(each["var_total"] == "same" for each in found) >= 297
        assert sum(each["bias_norm"] == "same" for each in found) >= 270

    def test_ten_per_cent_more_variance_is_worse(self) -> None:
        generator = np.random.default_rng(2)
        found = [words(drawn(generator), drawn(generator, scale=math.sqrt(1.1))) for _ in range(300)]
        assert sum(each["var_total"] == "worse" for each in found) >= 297

    def test_ten_per_cent_less_is_better(self) -> None:
        generator = np.random.default_rng(3)
        found = [words(drawn(generator, scale=math.sqrt(1.1)), drawn(generator)) for _ in range(300)]
        assert sum(each["var_total"] == "better" for each in found) >= 285

    def test_a_planted_bias_is_worse_and_named(self) -> None:
        generator = np.random.default_rng(4)
        found = [words(drawn(generator), drawn(generator, bias=0.02)) for _ in range(300)]
        assert all(each["bias"] == each["bias_norm"] == "worse" for each in found)

    def test_pairing_equal_draws_detects_smaller_changes(self) -> None:
        generator = np.random.default_rng(5)
        base = generator.gamma(4, 0.25, BLOCKS)
        new = 1.0609 * base * generator.normal(1, 0.01, BLOCKS)
        margin = math.log(1.05)
        se = [(float(b.mean()), float(b.std(ddof=1) / math.sqrt(BLOCKS))) for b in (base, new)]
        assert paired_ratio(base, new, margin).word == "worse"
        assert ratio(se[0], se[1], BLOCKS - 1, margin).word == "unclear"


class TestEffect:
    @pytest.mark.parametrize(
        ("lo", "hi", "word"),
        [
            (-0.05, 0.05, "same"),
            (0.06, 0.2, "worse"),
            (-0.2, -0.06, "better"),
            (0.04, 0.2, "unclear"),
            (-1, 1, "unclear"),
        ],
    )
    def test_words(self, lo: float, hi: float, word: str) -> None:
        assert Effect("ratio", (lo + hi) / 2, lo, hi, 0.05).word == word

    def test_no_number_is_unclear(self) -> None:
        nan = math.nan
        assert Effect("ratio", nan, nan, nan, 0.05).word == "unclear"

    def test_it_says_how_many_draws_would_settle_it(self) -> None:
        effect = Effect("ratio", 0.0, -0.1, 0.1, 0.05)
        assert effect.needed(1000) == 4000
        assert Effect("ratio", 0.05, -0.1, 0.2, 0.05).needed(1000) is None

    def test_zero_and_zero_are_the_same(self) -> None:
        assert log_ratio(0.0, 0.0) == 0 and log_ratio(0.0, 1.0) == math.inf and log_ratio(1.0, 0.0) == -math.inf

    def test_a_difference_adds_half_widths_in_quadrature(self) -> None:
        """Symmetric intervals give the usual quadrature, at 99 %."""
        effect = difference("gradient", (1.0, 0.7, 1.3), (2.0, 1.6, 2.4), 0.1)
        assert effect.change == 1 and effect.hi - 1 == pytest.approx(0.5 * 2.5758 / 1.96, rel=1e-4)
        assert effect.hi - 1 == pytest.approx(1 - effect.lo)


class TestWords:
    def rows(self, **values: float) -> list[Row]:
        return [row(metric, value, 1) for metric, value in values.items()]

    def test_one_more_evaluation_is_worse_one_fewer_better(self) -> None:
        assert words(self.rows(evaluations=2), self.rows(evaluations=3)) == {"evaluations": "worse"}
        assert words(self.rows(evaluations=2), self.rows(evaluations=1)) == {"evaluations": "better"}

    def test_bytes_within_two_per_cent_are_the_same(self) -> None:
        assert words(self.rows(bytes=1000), self.rows(bytes=1015)) == {"bytes": "same"}
        assert words(self.rows(bytes=1000), self.rows(bytes=1030)) == {"bytes": "worse"}

    def test_operations_of_another_torch_are_unclear(self) -> None:
        one, more = self.rows(operations=10), self.rows(operations=11)
        assert words(one, more) == {"operations": "worse"}
        assert words(one, more, versions={"torch": "2.14"}) == {"operations": "unclear"}

    def timed(self, factor: float, rounds: int) -> list[StoredCell]:
        """Times that swing by 20 % from round to round, and by 1 % within one."""
        swings = np.random.default_rng(0).uniform(0.9, 1.1, rounds)
        noise = np.random.default_rng(int(100 * factor)).uniform(0.99, 1.01, rounds)
        times = factor * swings * noise
        rows = [row("time_total", st.Quantity(t, math.nan, 0.99 * t, 1.01 * t), 30) for t in times.tolist()]
        return [cell([each], seed, source="clock") for seed, each in enumerate(rows)]

    @pytest.mark.parametrize(
        ("factor", "rounds", "cpu", "word", "reason"),
        [
            (1.0, 5, "A", "same", ""),
            (1.5, 5, "A", "worse", ""),
            (0.6, 5, "A", "better", ""),
            (1.11, 5, "A", "unclear", "rounds"),
            (1.5, 1, "A", "unclear", "one process per side; use compare --rerun"),
            (1.5, 5, "B", "unclear", "different machine"),
        ],
    )
    def test_times_are_judged_across_rounds_on_one_machine_only(
        self, factor: float, rounds: int, cpu: str, word: str, reason: str
    ) -> None:
        sides = {SUBJECT: (self.timed(1.0, rounds), self.timed(factor, rounds))}
        (verdict,) = judge(sides, CPU, CPU | {"cpu": cpu})
        assert verdict.word == word and reason in verdict.reason

    def test_rounding_is_no_variance(self) -> None:
        one, other, more = (
            [
                row("gradient_norm", 1.0, N, group="cut"),
                row("var_total", st.Quantity(v, v / 9), N, group="cut", blocks=[v] * BLOCKS),
            ]
            for v in (1e-15, 3e-15, 1e-3)
        )
        assert words(one, other) == {"var_total": "same"}
        assert words(one, more) == {"var_total": "worse"}

    def test_sums_of_draws_are_judged_between_the_same_draws_only(self) -> None:
        one, other = ([row("var_total", st.Quantity(v, v / 6), N, group="decoder")] for v in (1.0, 3.0))
        assert words(one, other, seeds=(0, 1)) == {}
        assert words(one, other, seeds=(0, 0)) == {"var_total": "worse"}
        assert words(one, one, seeds=(0, 0)) == {"var_total": "same"}

    def test_infinite_variance_is_never_worse(self) -> None:
        one, other = ([row("var_total", v, N, group="cut", status="infinite variance")] for v in (1.0, 3.0))
        assert words(one, other, seeds=(0, 0)) == {"var_total": "unclear"}
        assert words(one, one, seeds=(0, 0)) == {"var_total": "same"}

    def test_a_metric_that_is_gone_is_missing(self) -> None:
        assert words(self.rows(evaluations=2, bytes=5), self.rows(evaluations=2)) == {
            "evaluations": "same",
            "bytes": "missing",
        }

    @pytest.mark.parametrize("metric", ["bias_p", "var_total"])
    def test_a_test_or_a_number_that_is_gone_is_missing(self, metric: str) -> None:
        rows = drawn(np.random.default_rng(9))
        without = [each for each in rows if each["metric"] != metric]
        word = {"bias_p": "bias"}.get(metric, metric)
        assert words(rows, without)[word] == "missing" and word not in words(without, rows)

    def test_a_number_that_is_none_now_is_missing(self) -> None:
        one, none = ([row("var_total", value, N, group="cut", reason="no draws")] for value in (1.0, math.nan))
        assert words(one, none) == {"var_total": "missing"} and words(none, one) == words(none, none) == {}

    def test_a_cell_that_fails_now_is_worse(self) -> None:
        ok, failed = cell(self.rows(evaluations=1)), cell([outcome("error", "Traceback\nKeyError: 1")], status="error")
        (verdict,) = judge({SUBJECT: ([ok], [failed])}, CPU, CPU)
        assert (verdict.word, verdict.base, verdict.new, verdict.reason) == ("worse", "ok", "error", "KeyError: 1")
        assert judge({SUBJECT: ([failed], [ok])}, CPU, CPU)[0].word == "better"
        assert judge({SUBJECT: ([failed], [failed])}, CPU, CPU) == []

    def test_seeds_are_replicates(self) -> None:
        generator = np.random.default_rng(6)
        sides = [[cell(drawn(generator, 1.0), seed) for seed in range(4)] for _ in range(2)]
        found = {v.metric: v.change for v in judge({SUBJECT: (sides[0], sides[1])}, CPU, CPU)}
        alone = {v.metric: v.change for v in judge({SUBJECT: (sides[0][:1], sides[1][1:2])}, CPU, CPU)}
        assert found.keys() == alone.keys() and found["var_total"] != alone["var_total"]


class TestBias:
    BEFORE = BiasTest("unbiased", 0.5, 0.0, N)

    def far(self, z: float, n: int = N, word: str = "biased") -> BiasTest:
        return BiasTest(word, 1e-6, z / math.sqrt(n), n)

    def test_unbiased_then_biased_is_worse(self) -> None:
        assert judge_bias(self.BEFORE, self.far(6)) == ("worse", "biased")

    def test_an_old_bias_seen_at_last_is_unclear(self) -> None:
        almost = self.far(4, word="unbiased")
        assert judge_bias(almost, self.far(6))[0] == "unclear"
        assert judge_bias(almost, self.far(8, 4 * N))[0] == "unclear", "the same bias with four times the draws"

    @pytest.mark.parametrize(
        ("before", "after", "word"),
        [
            ("biased", "biased", "same"),
            ("biased", "unbiased", "better"),
            ("unbiased", "not testable", "unclear"),
            ("not testable", "biased", "unclear"),
            ("not testable", "not testable", "same"),
        ],
    )
    def test_words(self, before: str, after: str, word: str) -> None:
        assert judge_bias(self.far(6, word=before), self.far(0, word=after))[0] == word


Given = Callable[[list[list[Row]]], Run]


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A stored run of estimators e0, e1, ... with these rows."""

    def make(cells: list[list[Row]]) -> Run:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        store = Store(folder)
        store.write_context(CPU)
        for i, rows in enumerate(cells):
            who = IDENTITY | {"estimator": f"e{i}", "seed": 0, "collector": "", "tuned_steps": 0}
            status = "error" if rows[-1]["status"] == "error" else "ok"
            store.write(f"{folder.name}{i}", status, {"settings": {"rows": ROWS}}, [who | r for r in rows])
        return Run.open(folder)

    return make


class TestCompare:
    def test_a_second_look_alone_decides(self, given: Given) -> None:
        generator = np.random.default_rng(7)
        plain, more = drawn(generator), drawn(generator, scale=1.1)
        base, new = given([plain]), given([more])
        (subject,) = base.cells
        innocent, guilty = ([cell(drawn(generator, scale=x), 1, estimator="e0")] for x in (1.0, 1.1))
        for again, word, reason in ((innocent, "same", ""), (guilty, "worse", "second look"), ("no", "worse", "no")):
            asked: list[Subject] = []

            def look(subject: Subject, again: Any = again, asked: list[Subject] = asked) -> Any:
                asked.append(subject)
                return again

            found = {v.metric: v for v in compare(base, new, look).verdicts}
            assert asked == [subject]
            assert (found["var_total"].word, found["var_total"].reason) == (word, reason)

    def test_what_is_the_same_is_not_looked_at_again(self, given: Given) -> None:
        rows = drawn(np.random.default_rng(8))
        comparison = compare(given([rows]), given([rows]), lambda subject: pytest.fail("looked again"))
        assert comparison.count() == {"same": 3}

    def test_missing_new_and_failed_cells_are_listed(self, given: Given) -> None:
        one = [row("evaluations", 1, 1)]
        failed = [outcome("error", "Traceback\nKeyError: 1")]
        two, three = given([one, one]), given([one, failed, one])
        grown = compare(two, three, lambda subject: "")
        assert [s.estimator for s in grown.only_new] == ["e2"] and [s.estimator for s in grown.failed] == ["e1"]
        assert [v.word for v in grown.verdicts] == ["worse", "same"]
        shrunk = compare(three, two, lambda subject: "")
        missing = shrunk.verdicts[0]
        assert (missing.subject.estimator, missing.word, missing.reason) == ("e2", "missing", "not in NEW")

    def test_the_newest_of_several_cells_counts(self, given: Given) -> None:
        run = given([[row("evaluations", 1, 1)]])
        who = IDENTITY | {"estimator": "e0", "seed": 0, "collector": "", "tuned_steps": 0}
        run.store.write("later", "ok", {"settings": {"rows": 1}}, [who | row("evaluations", 2, 1)])
        (cells,) = Run.open(run.store.folder).cells.values()
        assert [c.find("evaluations", "")["value"] for c in cells] == [2.0]  # type: ignore[index]


class TestGate:
    def counted(self, **values: float) -> list[Row]:
        return [row(metric, value, 1) for metric, value in values.items()]

    def judged(self, base: Run, new: Run, gate: Gate = DEFAULT) -> tuple[bool, str]:
        comparison = compare(base, new, lambda _: "one look only", gate)
        return comparison.passed, answer(comparison)

    def test_a_missing_estimator_fails_and_is_named(self, given: Given) -> None:
        one = self.counted(evaluations=1)
        for gate in (DEFAULT, Gate.parse("bias,evaluations", "error", [])):
            assert self.judged(given([one, one]), given([one]), gate) == (False, "failed: missing: estimator e1")

    @pytest.mark.parametrize("names", [[], ["other"]], ids=["empty", "renamed"])
    def test_a_new_run_without_anything_of_base_fails(self, given: Given, names: list[str]) -> None:
        one = self.counted(evaluations=1)
        base, new = given([one]), given([])
        new.store.write_context(CPU)
        for name in names:
            new.store.write(name, "ok", {}, [IDENTITY | {"estimator": name, "seed": 0, "collector": ""} | one[0]])
        passed, sentence = self.judged(base, Run.open(new.store.folder))
        assert not passed and sentence == "failed: missing: all that BASE holds"

    def test_a_missing_task_a_missing_metric_and_another_device_are_named(self, given: Given) -> None:
        one, two = self.counted(evaluations=1), self.counted(evaluations=1, syncs=0)
        base, new = given([two]), given([one])
        for store, task, device in ((base.store, "vae", "cpu"), (base.store, "flip", "cpu"), (new.store, "vae", "xpu")):
            who = IDENTITY | {"estimator": "e0", "task": task, "device": device, "seed": 0, "collector": ""}
            store.write(task, "ok", {}, [who | one[0]])
        comparison = compare(*(Run.open(run.store.folder) for run in (base, new)), lambda _: "")
        assert answer(comparison) == "failed: missing: task flip, task vae, e0 on bit (syncs)"
        reasons = {v.subject.task: v.reason for v in comparison.verdicts if v.word == "missing"}
        assert reasons == {
            "bit": "not measured in NEW",
            "flip": "not in NEW",
            "vae": "not in NEW, which measured it on xpu instead of cpu",
        }

    def test_what_measured_nothing_is_no_evidence(self, given: Given) -> None:
        base, new = given([self.counted(evaluations=1)]), given([self.counted(evaluations=1)])
        who = IDENTITY | {"estimator": "never", "seed": 0, "collector": ""}
        base.store.write("never", "unsupported", {}, [who | outcome("unsupported", "no bits")])
        assert self.judged(Run.open(base.store.folder), new)[0]

    def test_nothing_to_compare_fails(self, given: Given) -> None:
        one = self.counted(evaluations=1)
        passed, sentence = self.judged(given([one]), given([one]), Gate.parse("time", "worse", []))
        assert not passed and sentence.startswith("failed: nothing was compared: ")
        assert not self.judged(given([]), given([one]))[0]

    def test_less_variance_for_eight_operations_more_is_not_worse(self, given: Given) -> None:
        generator = np.random.default_rng(10)
        base = given([[*drawn(generator, scale=math.sqrt(1.2)), *self.counted(operations=30, bytes=100)]])
        new = given([[*drawn(generator), *self.counted(operations=38, bytes=200)]])
        comparison = compare(base, new, lambda _: "one look only")
        assert comparison.passed and comparison.count()["worse"] == 0
        assert answer(comparison) == "passed: none of 3 verdicts is missing or worse; better: e0 on bit (variance)"
        table = lines(comparison).set_index("metric")
        assert table.loc["operations", ["verdict", "change"]].tolist() == ["advice", "+8"]

    def test_metrics_and_margins_are_chosen(self, given: Given) -> None:
        base, new = given([self.counted(operations=100)]), given([self.counted(operations=104)])
        for margins, passed in ((["operations=5%"], True), (["operations=0.03"], False), ([], False)):
            gate = Gate.parse("operations, evaluations", "worse", margins)
            assert self.judged(base, new, gate)[0] is passed, margins
        assert "operations 5 %" in Gate.parse("bias", "worse", ["operations=5%"]).margins_text()

    def test_only_the_chosen_metrics_fail(self, given: Given) -> None:
        base, new = given([self.counted(evaluations=1, syncs=0)]), given([self.counted(evaluations=2, syncs=0)])
        assert not self.judged(base, new)[0]
        assert self.judged(base, new, Gate.parse("syncs", "worse", []))[0]

    def test_an_unclear_metric_is_no_advice(self, given: Given) -> None:
        one, other = ([row("time_total", st.Quantity(t, math.nan, 0.99 * t, 1.01 * t), 30)] for t in (1.0, 1.5))
        evaluated = self.counted(evaluations=1)
        base, new = given([[*one, *evaluated]]), given([[*other, *evaluated]])
        for kinds, count in (("evaluations", {"same": 1}), ("evaluations,time", {"same": 1, "unclear": 1})):
            assert compare(base, new, lambda _: "", Gate.parse(kinds, "worse", [])).count() == count

    def test_doubt_fails_where_it_is_asked_to(self, given: Given) -> None:
        generator = np.random.default_rng(11)
        base, new = given([drawn(generator, 1.0)]), given([drawn(generator, 1.0)])
        for fail_on in ("worse", "error", "unclear"):
            assert self.judged(base, new, Gate.parse("variance", fail_on, []))[0] is (fail_on != "unclear")


class TestShow:
    COMPARISON = Comparison(
        [
            Verdict(SUBJECT, "var_total", "cut", "worse", "1 [0, 2]", "2 [1, 3]", "×2 [1.5, 2.5]", "a | b \x00"),
            Verdict(SUBJECT, "evaluations", "", "unclear"),
            Verdict(SUBJECT, "bytes", "", "same", "1", "1", "×1"),
        ],
        [SUBJECT],
        [],
        ["a note"],
    )

    def test_counts_and_margins_come_first(self) -> None:
        text = summary(self.COMPARISON)
        assert text[0] == "3 compared: 0 missing, 1 worse, 1 unclear, 0 better, 0 advice, 1 same"
        assert "variance 5 %" in text[1] and "99 %" in text[1]
        assert text[2] == "advice, which cannot fail: operations, bytes, time"
        assert text[3:] == ["only in NEW: rloo on bit, draws", "a note"]

    def test_what_is_the_same_has_no_line(self) -> None:
        assert lines(self.COMPARISON)["metric"].tolist() == ["var_total cut", "evaluations"]

    def test_markdown_escapes_pipes(self) -> None:
        text = markdown(self.COMPARISON, "a", "b")
        assert text.startswith("### a → b\n\n**failed: worse: rloo on bit (variance)**\n\n3 compared")
        assert "a \\| b" in text

    def test_junit_counts_failures_and_skips(self) -> None:
        suite = ET.fromstring(junit(self.COMPARISON))
        assert suite.attrib["tests"] == "3" and suite.attrib["failures"] == "1" and suite.attrib["skipped"] == "1"
        assert [len(case) for case in suite] == [1, 1, 0] and suite[0][0].tag == "failure"
