"""Whatever a plugin does is undone and reported: its neighbours' numbers and the process are as they were."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from dvae_bench.bench.run.guard import SHOWN, Guard
from dvae_bench.bench.run.process_state import shared_state
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.store.store import Store
from pandas.testing import assert_frame_equal
from plugin_files import estimator
from tiny import VAE, Diary, grid, numbers

CPU = torch.device("cpu")
CHANGES = {
    "Python's random state": "random.seed(1)",
    "numpy's random state": "np.random.seed(1)",
    "torch's random state": "torch.manual_seed(1)",
    "numpy's handling of errors": "np.seterr(all='ignore')",
    "the folder it works in": "os.chdir('/')",
    "environment variables": "os.environ['OMP_NUM_THREADS'] = '7'; os.environ.pop('HOME', 0); os.environ['NEW'] = 'x'",
    "the warning filters": "warnings.simplefilter('ignore')",
    "garbage collection": "gc.disable()",
    "what SIGINT does": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "what SIGTERM does": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "float32 matmul precision": "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.fp32_precision": "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.mkldnn.matmul.fp32_precision": "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "torch.backends.cudnn.benchmark": "torch.backends.cudnn.benchmark = True",
    "torch.backends.mkldnn.enabled": "torch.backends.mkldnn.enabled = False",
    "the default dtype": "torch.set_default_dtype(torch.float64)",
    "the default device": "torch.set_default_device('meta')",
    "the number of threads": "torch.set_num_threads(2)",
    "whether gradients are recorded": "torch.set_grad_enabled(False)",
    "anomaly detection": "torch.autograd.set_detect_anomaly(True)",
    "deterministic algorithms": "torch.use_deterministic_algorithms(True)",
    "autocast on cpu": "torch.set_autocast_enabled('cpu', True)",
}


def state() -> list[object]:
    return [setting.read() for setting in shared_state("cpu")]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as a terminal has it, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_put_back_and_named(what: str) -> None:
    before, guard = state(), Guard(CPU)
    scope: dict[str, object] = {}
    exec("import gc, os, random, signal, warnings\nimport numpy as np, torch", scope)
    with guard:
        exec(CHANGES[what], scope)
    assert state() == before
    assert what in guard.changed
    assert guard.summary.startswith("changed and put back: ")


def test_every_setting_is_tried() -> None:
    """All but some switches of torch.backends, which are read and written in one way."""
    assert {setting.name for setting in shared_state("cpu") if "backends" not in setting.name} <= set(CHANGES)


def test_code_that_changes_nothing_is_not_reported() -> None:
    guard = Guard(CPU)
    for _ in range(3):
        with guard:
            torch.randn(3, generator=torch.Generator().manual_seed(0))
    assert guard.summary == ""


@pytest.mark.parametrize("source", ["draws", "clock"])
def test_neighbours_are_unharmed(
    source: str, store: Store, tmp_path: Path, plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One estimator after another changes everything; those between them measure what they measure alone."""
    quiet = Store(tmp_path / "quiet")
    run_cells(grid("rloo", "reinforce"), quiet, Progress())
    before = state()
    plugin("mixes", "; ".join(line for what, line in CHANGES.items() if what != "the default device"))
    diary = Diary()
    run_cells(grid("mixes", "rloo", sources=source), store, diary)
    run_cells(grid("mixes", "reinforce", sources=source), store, diary, fresh=True)
    assert state() == before and {diary.of("rloo")[0], diary.of("reinforce")[0]} == {"ok"}
    assert "changed and put back: the default dtype" in diary.of("mixes")[1] and "\n" not in diary.of("rloo")[1]
    rows = store.rows()
    effects = rows[rows["metric"] == "side_effects"]
    assert set(effects["family"]) == {"mixes"} and set(effects["status"]) == {"side effects"}
    assert "numpy's random state" in effects["reason"].iloc[0]
    if source == "draws":
        assert_frame_equal(numbers_of(store), numbers_of(quiet))


def numbers_of(store: Store) -> object:
    rows = numbers(store)
    return rows[rows["family"] != "mixes"].reset_index(drop=True)


@pytest.mark.parametrize("source", ["draws", "clock"])
@pytest.mark.parametrize("code", ["sys.exit(7)", "sys.exit()", "raise SystemExit('enough')", "exit(0)"])
def test_sys_exit_is_a_failed_cell(code: str, source: str, store: Store, plugin: Callable[..., Path]) -> None:
    plugin("leaves", code)
    assert run_cells(grid("leaves", "rloo", sources=source), store, Progress()) == {"error": 1, "ok": 1}
    rows = store.rows()
    (reason,) = rows.loc[rows["status"] == "error", "reason"]
    assert "CalledExit: it called sys.exit(" in reason


def test_an_import_that_exits_is_a_failed_cell(store: Store, plugin: Callable[..., Path]) -> None:
    plugin("leaves-early", source="import sys\n\nsys.exit(3)\n" + estimator("leaves-early"))
    assert run_cells(grid("leaves-early", "rloo", sources="draws"), store, Progress()) == {"error": 1, "ok": 1}


ANSWERS = {
    "a grad in float64": "Estimate(value.mean(0), score.mean(0).double())",
    "a whole-number value": "Estimate(value.mean(0).long(), score.mean(0))",
    "a value without a batch": "Estimate(value.sum(), score.mean(0))",
    "a grad cut short": "Estimate(value.mean(0), score.mean(0)[..., :1])",
    "NaN": "Estimate(value.mean(0), score.mean(0) * float('nan'))",
    "None": "None",
    "a tuple": "(value.mean(0), score.mean(0))",
    "numpy": "Estimate(value.mean(0).detach().numpy(), score.mean(0).numpy())",
}

HARMLESS = [("NaN", "clock"), ("a grad in float64", "draws"), ("a grad in float64", "clock")]
"""A clock reads no numbers, and torch casts between floating dtypes."""


@pytest.mark.parametrize("source", ["draws", "clock"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_wrong_answer_is_a_failed_cell(answer: str, source: str, store: Store, plugin: Callable[..., Path]) -> None:
    plugin("answers", answer=ANSWERS[answer])
    counts = run_cells(grid("answers", "rloo", sources=source), store, Progress())
    assert counts == ({"ok": 2} if (answer, source) in HARMLESS else {"error": 1, "ok": 1})
    assert run_cells(grid("rloo", sources=source), store, Progress()) == {"reused": 1}


@pytest.mark.parametrize("source", ["draws", "clock"])
def test_megabytes_of_output_are_cut(
    source: str, store: Store, plugin: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin("babbles", "print('many words ' * 100_000); print('more ' * 100_000, file=sys.stderr)")
    diary = Diary()
    run_cells(grid("babbles", sources=source), store, diary)
    out, err = capsys.readouterr()
    assert out.startswith("many words many words") and len(out) + len(err) <= 2 * SHOWN
    status, reason = diary.of("babbles")
    assert status == "ok" and reason.startswith("printed ") and reason.endswith("were shown")
    assert int(reason.split()[1]) >= 1_600_000


def test_a_real_interrupt_is_not_swallowed_with_the_plugin(store: Store, plugin: Callable[..., Path]) -> None:
    plugin("interrupts", "signal.signal(signal.SIGINT, signal.default_int_handler); signal.raise_signal(signal.SIGINT)")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_cells(grid("interrupts", "rloo", sources="draws"), store, Progress())
    assert signal.getsignal(signal.SIGINT) is before and not list(store.cells.glob("*"))


def test_our_own_estimators_change_nothing(store: Store) -> None:
    """A false alarm would be reported for every run."""
    run_cells(grid("rloo", "rebar", "relax-network", "nvil", "reinmax", "disarm"), store, Progress())
    run_cells(grid("rebar", tasks=VAE, sources="steps"), store, Progress())
    rows = store.rows()
    assert len(rows) > 100 and "side_effects" not in set(rows["metric"])
