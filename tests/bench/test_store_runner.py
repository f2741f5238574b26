"""Cells and their keys, a store that never holds half a part, and a runner that no plugin can stop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dvae_bench import __version__
from dvae_bench.bench.rows import COLUMNS, SCHEMA, outcome, row
from dvae_bench.bench.run.cell import Cell, Place
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources import CLOCK, DRAWS, SOURCES, STEPS, Source
from dvae_bench.bench.sources.training.point import Diverged, Point
from dvae_bench.bench.statistics.intervals import Quantity
from dvae_bench.bench.store import code_hash as fingerprints
from dvae_bench.bench.store import store as stores
from dvae_bench.bench.store.cell_file import ARROW_SCHEMA
from dvae_bench.bench.store.files import Unwritable
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.names import Name, UsageError
from dvae_bench.estimators.registry import COLLECTORS, ESTIMATORS, Plugin
from plugin_files import collector, estimator
from tiny import TINY, VAE, Diary, grid, one_cell

BROKEN = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "returns-nan": ("Estimate(value.mean(0), score.mean(0) * torch.nan)", "NaN or infinity"),
    "wrong-grad": ("Estimate(value.mean(0), score.mean(0)[..., :1])", "grad has shape"),
    "wrong-value": ("Estimate(value.mean(0).unsqueeze(0), score.mean(0))", "value has shape"),
    "one-value": ("Estimate(value.sum(), score.mean(0))", "value has shape"),
}
"""Answers of estimators that fail, each in its own way, and what is said of it."""


@pytest.fixture
def broken(plugin: Callable[..., Path]) -> None:
    for name, (answer, _) in BROKEN.items():
        plugin(name, answer=answer)


def some_rows() -> list[dict[str, object]]:
    return [
        row("var_total", Quantity(2.5, 0.1, 2.3, 2.7), 640, direction="lower", group="cut", blocks=[2.0, 3.0]),
        row("bias_p", 0.25, 640, group="cut"),
        row("elbo_test", float("nan"), 10, unit="nats", step=300),
    ]


class TestPlan:
    def test_toys_come_before_training_and_timing_last(self) -> None:
        cells = grid("rloo", "disarm", tasks=["mnist-vae:arch=linear", "bit"], seeds=2)
        sources = [cell.source for cell in cells]
        assert sources == [DRAWS] * 4 + [STEPS] * 4 + [CLOCK] * 4
        assert {cell.seed for cell in cells if cell.source is CLOCK} == {0}
        assert {cell.place.data for cell in cells if cell.task.family == "bit"} == {""}
        assert {cell.place.data for cell in cells if cell.task.family == "mnist-vae"} == {"mnist-5k"}

    def test_a_cell_is_named_by_what_it_measures(self) -> None:
        assert str(one_cell(tasks="bit")) == "rloo on bit, draws"
        assert str(replace(one_cell(tasks="bit"), seed=3)) == "rloo on bit, draws seed 3"


class TestKeys:
    def test_keys_do_not_depend_on_the_order_of_parameters(self) -> None:
        one_way, other = (one_cell(tasks=f"bit:{text}") for text in ("d=3,t=0.3", "t=.3,d=3"))
        assert one_way.key() == other.key()
        assert one_cell("loorf:n=2").key() == one_cell("rloo").key(), "aliases and defaults are resolved"

    @pytest.mark.parametrize(
        "change",
        [
            dict(seed=1),
            dict(place=Place(device_name="a cpu", data="mnist-5k")),
            dict(place=Place(device_name="a cpu", threads=2)),
            dict(place=Place(device="cuda", device_name="a cpu")),
            dict(task=Name("bit", (("d", 3),))),
            dict(estimator=Name("rloo", (("n", 4),))),
            dict(estimator=Name("disarm")),
            dict(settings=replace(TINY.of(DRAWS), rows=21)),
        ],
    )
    def test_keys_differ_in_everything_the_numbers_depend_on(self, change: dict[str, object]) -> None:
        assert replace(one_cell(), **change).key() != one_cell().key()  # type: ignore[arg-type]

    def test_keys_do_not_depend_on_other_sources_settings(self) -> None:
        other = replace(TINY, name="other").changed(CLOCK, repetitions=99)
        assert one_cell(preset=other).key() == one_cell().key()

    def test_keys_differ_in_code(self, plugin: Callable[..., Path]) -> None:
        keys = []
        for code in ("pass", "pass  # a comment", "f(draw)"):
            plugin("mine", code)
            keys.append(one_cell("mine").key())
        assert keys[0] == keys[1] != keys[2]

    def test_only_keys_of_timings_depend_on_the_devices_name(self) -> None:
        for source, same in (("draws", True), ("clock", False)):
            keys = {one_cell(source=source, device_name=name).key() for name in ("one gpu", "another gpu")}
            assert (len(keys) == 1) is same
        steps = one_cell(source="steps", tasks="mnist-vae")
        assert replace(steps, place=replace(steps.place, device_name="another gpu")).key() == steps.key()

    def test_keys_do_not_depend_on_the_order_of_collectors(self, plugin_file: Callable[..., Path]) -> None:
        files = [plugin_file(name, source=collector(name, f"[{name!r}]")) for name in ("first", "second")]
        keys = set()
        for order in (files, files[::-1]):
            COLLECTORS.extra = {}
            for path in order:
                COLLECTORS.add_file(path)
            keys.add(one_cell().key())
        assert len(keys) == 1

    def test_a_recipe_is_plain_json(self) -> None:
        recipe = one_cell(source="clock").recipe()
        assert json.loads(json.dumps(recipe)) == recipe
        assert recipe["estimator"] == "rloo" and recipe["dtype"] == "float32" and recipe["threads"] == 1
        assert recipe["device_name"] == "a cpu" and recipe["settings"]["repetitions"] == 6


class TestFingerprint:
    CODE = '"""About."""\n\n\ndef double(x):\n    """Twice x."""\n    return 2 * x  # doubled\n'

    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A package that stands in for ours: main imports part, part imports deep/leaf."""
        root = tmp_path / "package"
        (root / "deep").mkdir(parents=True)
        (root / "main.py").write_text("from .part import double\n\nVALUE = double(1)\n")
        (root / "part.py").write_text(self.CODE + "\n\nfrom dvae_bench.deep import leaf\n")
        (root / "deep" / "__init__.py").write_text("")
        (root / "deep" / "leaf.py").write_text("import math\n\nLEAF = math.pi\n")
        (root / "stranger.py").write_text("X = 1\n")
        monkeypatch.setattr(fingerprints, "ROOT", root)
        fingerprints._parse.cache_clear()
        fingerprints.fingerprint.cache_clear()
        yield root
        fingerprints._parse.cache_clear()
        fingerprints.fingerprint.cache_clear()

    def test_a_formula_changes_no_fingerprint(self, package: Path) -> None:
        stranger = package / "stranger.py"
        hashes = []
        for facts in (
            'name = "a"',
            'name = "a"\n    formula = r"g"',
            'name = "a"\n    formula = (r"g" r"h")',
            'name = "b"',
        ):
            stranger.write_text(f"class Mine:\n    {facts}\n")
            hashes.append(self.of(stranger))
        assert hashes[0] == hashes[1] == hashes[2] != hashes[3]

    @pytest.mark.parametrize(
        ("before", "after", "same"),
        [
            ('hyperparameters = {"n": {RULE}}', 'hyperparameters = {"n": {RULE, "about": "draws of z"}}', True),
            ('hyperparameters: D = {"n": {RULE}}', 'hyperparameters: D = {"n": {"about": "draws", RULE}}', True),
            ('hyperparameters = {"n": {RULE}}', 'hyperparameters = {"n": {RULE, "min": 3, "about": "draws"}}', False),
            ('hyperparameters = {"n": {RULE}}', 'hyperparameters = {"about": {RULE}}', False),
            ('table = {"n": {"about": "draws"}}', 'table = {"n": {"about": "samples"}}', False),
        ],
    )
    def test_what_a_hyperparameter_is_about_is_for_readers(
        self, package: Path, before: str, after: str, same: bool
    ) -> None:
        """In the rules of the class body alone: elsewhere it is data like any other."""
        hashes = []
        for facts in (before, after):
            (package / "stranger.py").write_text(f"class Mine:\n    {facts}\n".replace("RULE", '"default": 2'))
            hashes.append(self.of(package / "stranger.py"))
        assert (hashes[0] == hashes[1]) is same

    @staticmethod
    def of(path: Path) -> str:
        fingerprints._parse.cache_clear()
        fingerprints.fingerprint.cache_clear()
        return fingerprints.fingerprint(path)

    @pytest.mark.parametrize(
        ("before", "after", "same"),
        [
            ("Twice x.", "Two times x, see the paper.", True),
            ("About.", "What this is about.", True),
            ("# doubled", "# and so on", True),
            ("return 2 * x", "return (2 * x)", True),
            ("return 2 * x", "return 3 * x", False),
            ("def double(x)", "def double(x, y=1)", False),
        ],
    )
    @pytest.mark.parametrize("of", ["main.py", "part.py"])
    def test_a_fingerprint_sees_code_and_nothing_else(
        self, package: Path, of: str, before: str, after: str, same: bool
    ) -> None:
        first = self.of(package / of)
        text = (package / "part.py").read_text()
        assert before in text
        (package / "part.py").write_text(text.replace(before, after))
        assert (self.of(package / of) == first) is same

    def test_a_fingerprint_sees_modules_imported_by_imported_ones(self, package: Path) -> None:
        first = self.of(package / "main.py")
        (package / "deep" / "leaf.py").write_text("LEAF = 3\n")
        assert self.of(package / "main.py") != first

    def test_a_fingerprint_does_not_see_what_is_not_imported(self, package: Path) -> None:
        first = self.of(package / "main.py")
        (package / "stranger.py").write_text("X = 2\n")
        assert self.of(package / "main.py") == first

    def test_a_public_name_stands_for_the_module_that_makes_it(self, tmp_path: Path) -> None:
        """`from dvae_bench import Claim` depends on the contract, and not on everything that is public."""
        plugin = tmp_path / "plugin.py"
        plugin.write_text("from dvae_bench import Claim, check as examine\n")
        found = {path.relative_to(fingerprints.ROOT).as_posix() for path in fingerprints._parse(plugin)[1]}
        assert found == {"estimators/contract.py", "bench/check/__init__.py"}

    def test_a_plugin_file_is_followed_into_the_package(self, package: Path, tmp_path: Path) -> None:
        plugin = tmp_path / "plugin.py"
        plugin.write_text("import dvae_bench.part\n")
        first = self.of(plugin)
        (package / "part.py").write_text("changed = True\n")
        assert self.of(plugin) != first

    def test_modules_may_import_each_other(self, package: Path) -> None:
        (package / "deep" / "leaf.py").write_text("from .. import main\n")
        assert self.of(package / "main.py") == self.of(package / "main.py")


class TestStore:
    def test_rows_come_back_as_they_went_in(self, store: Store) -> None:
        store.write("a", "ok", {"seed": 0}, some_rows())
        rows = store.rows()
        assert tuple(rows.columns) == COLUMNS and len(rows) == 3
        first = rows.iloc[0]
        assert (first["value"], first["se"], first["lo"], first["hi"]) == (2.5, 0.1, 2.3, 2.7)
        assert list(first["blocks"]) == [2.0, 3.0] and rows["blocks"][1] is None
        assert (first["n"], first["group"], first["direction"], first["status"]) == (640, "cut", "lower", "ok")
        assert rows["step"].tolist() == [0, 0, 300] and math.isnan(rows["value"][2])
        assert pa.Table.from_pandas(rows, schema=ARROW_SCHEMA, preserve_index=False).schema == ARROW_SCHEMA

    def test_grey_levels_are_bytes_and_no_block_keeps_the_memory_of_others(self, store: Store) -> None:
        levels, odd, blocks = [0.0, 128.0, 255.0], [0.5, -1.0, math.nan], [1.0, 2.0]
        kinds = {"images_sample": levels, "images_original": odd, "var_total": blocks}
        store.write("a", "ok", {}, [row(name, 1.0, 1, blocks=found) for name, found in kinds.items()])
        found = store.rows().set_index("metric")["blocks"]
        for name, numbers in kinds.items():
            np.testing.assert_array_equal(found[name], numbers)
        assert [found[name].dtype for name in kinds] == [np.uint8, np.float64, np.float64]
        assert all(each.base is None for each in found)

    def test_a_part_states_how_it_ended_and_its_settings(self, store: Store) -> None:
        store.write("a", "ok", {"seed": 7}, some_rows())
        metadata = pq.read_schema(store.cells / "a.parquet").metadata
        assert metadata[b"status"] == b"ok" and metadata[b"schema"] == str(SCHEMA).encode()
        assert json.loads(metadata[b"settings"]) == {"seed": 7}

    def test_only_the_wanted_parts_are_read(self, store: Store) -> None:
        for key in ("a", "b"):
            store.write(key, "ok", {}, [row(f"from-{key}", 1.0, 1)])
        assert store.rows(["b", "missing"])["metric"].tolist() == ["from-b"]
        assert store.rows([])["metric"].tolist() == []
        assert sorted(store.rows()["metric"]) == ["from-a", "from-b"]

    @pytest.mark.parametrize(
        ("status", "kept"),
        [("ok", True), ("unsupported", True), ("diverged", True), ("error", False)],
    )
    def test_failures_are_never_reused(self, store: Store, status: str, kept: bool) -> None:
        store.write("a", status, {}, [outcome(status, "because")])
        assert store.status("a") == status and store.finished("a") is kept
        assert store.rows()["reason"].tolist() == ["because"]

    def test_what_was_never_measured_is_not_finished(self, store: Store) -> None:
        assert store.status("a") is None and not store.finished("a")

    def test_a_write_that_dies_half_way_leaves_no_part(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def half(path: Path, content: bytes) -> None:
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
            raise OSError("no space left on device")

        monkeypatch.setattr(Path, "write_bytes", half)
        with pytest.raises(Unwritable, match=r"a\.parquet \(no space left on device\)"):
            store.write("a", "ok", {}, some_rows())
        assert store.status("a") is None and store.rows().empty and not list(store.cells.iterdir())
        monkeypatch.undo()
        store.write("a", "ok", {}, some_rows())
        assert store.status("a") == "ok" and len(store.rows()) == 3

    def test_a_rewrite_that_dies_half_way_leaves_the_old_part(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(path: Path, target: Path) -> None:
            raise KeyboardInterrupt

        store.write("a", "ok", {}, some_rows())
        monkeypatch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            store.write("a", "error", {}, [outcome("error", "because")])
        assert store.status("a") == "ok" and len(store.rows()) == 3

    @pytest.mark.parametrize("size", [0, 3, 500, -1], ids=["empty", "3 bytes", "500 bytes", "all but one byte"])
    def test_a_part_cut_short_is_named(self, store: Store, size: int) -> None:
        store.write("a", "ok", {}, some_rows())
        store.write("b", "ok", {}, some_rows())
        part = store.cells / "a.parquet"
        part.write_bytes(part.read_bytes()[:size])
        assert store.status("a") is None, "it is measured again"
        with pytest.raises(UsageError, match=r"a\.parquet is damaged and cannot be read; delete it and run again"):
            store.rows()

    def test_a_part_with_any_damaged_byte_is_named_or_read(self, store: Store) -> None:
        store.write("a", "ok", {}, some_rows())
        part = store.cells / "a.parquet"
        whole = part.read_bytes()
        for place in range(0, len(whole), 29):
            part.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
            store.status("a")
            try:
                store.rows()
            except UsageError as error:
                assert "a.parquet is damaged" in str(error)

    def test_a_newer_schema_is_refused_with_both_versions(self, store: Store) -> None:
        store.write_context({"schema": SCHEMA + 1, "dvae_bench": "9.9.9"})
        for refuse in (store.check_schema, lambda: Store.open(store.folder)):
            with pytest.raises(UsageError, match=rf"9\.9\.9.*{__version__}.*upgrade.*-o") as error:
                refuse()
            assert f"schema {SCHEMA + 1}" in str(error.value) and "\n" not in str(error.value)

    def test_the_context_comes_back_as_it_was(self, store: Store) -> None:
        assert store.context() == {}
        store.write_context({"schema": SCHEMA, "device": "cpu"})
        assert store.context() == {"schema": SCHEMA, "device": "cpu"}
        store.check_schema()

    def test_a_folder_without_results_cannot_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"holds no results .*give the -o folder of a run"):
            Store.open(tmp_path)

    def test_nothing_read_back_can_execute_code(self) -> None:
        source = Path(stores.__file__).read_text()
        assert "pickle" not in source and "eval(" not in source


class TestRunner:
    def test_finished_cells_are_reused(self, store: Store) -> None:
        cells = grid("rloo", "disarm")
        assert run_cells(cells, store, Progress()) == {"ok": 4}
        parts = {path: path.read_bytes() for path in store.cells.iterdir()}
        diary = Diary()
        assert run_cells(cells, store, diary) == {"reused": 4}
        assert set(diary.ended.values()) == {("reused", "")}
        assert {path: path.read_bytes() for path in store.cells.iterdir()} == parts

    def test_fresh_measures_again_to_the_same_numbers(self, store: Store) -> None:
        cells = [one_cell()]
        run_cells(cells, store, Progress())
        before = store.rows()
        assert run_cells(cells, store, Progress(), fresh=True) == {"ok": 1}
        pd.testing.assert_frame_equal(store.rows(), before)

    def test_seeds_give_other_numbers(self, store: Store) -> None:
        run_cells(grid("rloo", sources="draws", seeds=2), store, Progress())
        rows = store.rows()
        bias = rows[(rows["metric"] == "bias_sq") & (rows["group"] == "value")]
        assert sorted(rows["seed"].unique()) == [0, 1] and bias["value"].nunique() == 2

    def test_unsupported_cells_are_reused_with_their_reason(self, store: Store) -> None:
        cells = [one_cell("straight-through", tasks="bit-table:extension=none")]
        diary = Diary()
        assert run_cells(cells, store, diary) == {"unsupported": 1}
        ((status, reason),) = diary.ended.values()
        assert status == "unsupported" and "discrete z only" in reason
        assert run_cells(cells, store, Progress()) == {"reused": 1}
        rows = store.rows()
        assert rows["status"].tolist() == ["unsupported"] and rows["reason"].tolist() == [reason]

    def test_rows_carry_their_cell_and_collector(self, store: Store) -> None:
        run_cells(grid("rloo:n=4"), store, Progress())
        rows = store.rows()
        assert set(rows["estimator"]) == {"rloo:n=4"} and set(rows["family"]) == {"rloo"}
        assert set(rows["task"]) == {"bit:d=2"} and set(rows["device"]) == {"cpu"}
        by_collector = rows.groupby("collector")["metric"].agg(set)
        assert by_collector["bias"] >= {"bias_p", "bias_sdb", "bias_rel", "bias_norm", "bias_sq"}
        assert by_collector["evaluations"] == {"evaluations", "differentiations"}
        assert by_collector["variance"] >= {"var_total", "var_mean"}
        assert by_collector["time"] >= {"time_total", "time_sample", "time_objective", "time_gradient"}
        evaluations = rows.loc[rows["metric"] == "evaluations", "value"]
        assert evaluations.tolist() == [4.0]

    def test_tuned_steps_are_stated(self, store: Store) -> None:
        run_cells(grid("rebar", "rloo", sources="draws"), store, Progress())
        rows = store.rows()
        assert rows.groupby("family")["tuned_steps"].agg(set).to_dict() == {"rebar": {2}, "rloo": {0}}

    @pytest.mark.parametrize("name", BROKEN)
    def test_a_failing_plugin_is_recorded(self, store: Store, broken: None, name: str) -> None:
        cells, diary = grid(name, "rloo", sources="draws"), Diary()
        assert run_cells(cells, store, diary) == {"error": 1, "ok": 1}
        status, reason = diary.of(name)
        assert status == "error" and reason.startswith("Traceback") and BROKEN[name][1] in reason
        rows = store.rows([cells[0].key()])
        assert rows["status"].tolist() == ["error"] and rows["reason"].tolist() == [reason]
        assert rows["estimator"].tolist() == [name] and rows["metric"].tolist() == [""]
        assert set(store.rows([cells[1].key()])["status"]) == {"ok"}

    def test_failed_cells_are_tried_again(self, store: Store, broken: None) -> None:
        cells = grid("raises", "rloo", sources="draws")
        run_cells(cells, store, Progress())
        assert run_cells(cells, store, Progress()) == {"error": 1, "reused": 1}

    def test_all_at_once_no_cell_harms_another(self, store: Store, broken: None) -> None:
        cells = grid("raises", "rloo", *BROKEN, "disarm", sources="draws")
        assert len(cells) == len(BROKEN) + 2
        assert run_cells(cells, store, Progress()) == {"ok": 2, "error": len(BROKEN)}
        assert len(list(store.cells.glob("*.parquet"))) == len(cells)
        assert [store.status(cell.key()) for cell in cells].count("error") == len(BROKEN)

    @pytest.mark.parametrize("source", ["steps", "clock"])
    @pytest.mark.parametrize("name", ["wrong-grad", "wrong-value", "one-value"])
    def test_wrong_shapes_are_refused_on_vaes_too(self, store: Store, broken: None, name: str, source: str) -> None:
        assert run_cells([one_cell(name, source, tasks=VAE)], store, Progress()) == {"error": 1}

    def test_a_diverged_cell_keeps_its_curve(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        cells = self._diverging(monkeypatch)
        assert run_cells(cells, store, Progress()) == {"diverged": 1}
        rows = store.rows()
        assert rows["metric"].tolist() == ["elbo_test", "seconds", ""] and rows["step"].tolist() == [1, 1, 0]
        assert rows["status"].tolist() == ["ok", "ok", "diverged"] and "by step 2" in rows["reason"][2]
        assert run_cells(cells, store, Progress()) == {"reused": 1}

    def test_a_diverged_cell_says_so(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        diary = Diary()
        run_cells(self._diverging(monkeypatch), store, diary)
        ((status, reason),) = diary.ended.values()
        assert status == "diverged" and "by step 2" in reason

    @staticmethod
    def _diverging(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
        def diverge(*arguments: object) -> None:
            raise Diverged(2, [Point(1, 0.5, {"elbo_test": np.array([-200.0, -190.0])})], "the loss was not finite")

        monkeypatch.setattr("dvae_bench.bench.sources.training.loop.train", diverge)
        return [one_cell(source="steps", tasks=VAE)]

    def test_a_failing_collector_is_recorded(self, store: Store, plugin: Callable[..., Path]) -> None:
        plugin("odd", source=collector("odd", '[row("odd", "not a number", 1)]'))
        assert run_cells(grid("rloo", sources="draws clock"), store, Progress()) == {"error": 1, "ok": 1}

    def test_a_plugin_that_cannot_be_imported_is_recorded(self, store: Store, plugin: Callable[..., Path]) -> None:
        plugin("unimportable", source="import nowhere_to_be_found\n" + estimator("unimportable"))
        diary = Diary()
        assert run_cells(grid("unimportable", "rloo", sources="draws"), store, diary) == {"error": 1, "ok": 1}
        assert "nowhere_to_be_found" in diary.of("unimportable")[1]

    def test_an_unresolvable_cell_is_stored_under_its_name(self, store: Store) -> None:
        """An installed third-party estimator that fails on import: its facts, and so its key, cannot be had."""
        plugin = Plugin("gone", "third-party", "nowhere_to_be_found", "Gone")
        ESTIMATORS.extra["gone"] = plugin
        cell = replace(one_cell(tasks="bit"), estimator=Name("gone"))
        assert run_cells([cell, one_cell()], store, Progress()) == {"error": 1, "ok": 1}
        assert store.status("failed-gone-bit-draws-0") == "error"

    def test_an_interrupt_is_not_recorded_as_a_failure(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("dvae_bench.bench.sources.draws.draws.draw_gradients", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_cells([one_cell()], store, Progress())
        assert not store.cells.exists()


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_a_figure_a_page_or_an_answer_makes_no_cell_stale(source: Source) -> None:
    """An import for types alone brought the whole package into every cell's key."""
    seen, todo = set[Path](), [(fingerprints.ROOT / source.code).resolve()]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += fingerprints._parse(path)[1]
    rooms = {path.relative_to(fingerprints.ROOT).parts[:2] for path in seen}
    assert ("bench", "sources") in rooms
    assert not rooms & {
        ("bench", room) for room in ("report", "page", "ranking", "advice", "run", "compare", "protocols")
    }
