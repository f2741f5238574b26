"""A training run that is stopped at any moment resumes and ends in the same bits."""

from __future__ import annotations

import copy
import itertools
import os
import random
import secrets
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.bench.run.presets import Preset
from dvae_bench.bench.run.runner import Progress, run_cells
from dvae_bench.bench.sources import STEPS
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.bench.statistics.intervals import Quantity
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators import estimator
from dvae_bench.estimators.contract import Unsupported
from dvae_bench.estimators.names import UsageError
from dvae_bench.estimators.registry import ESTIMATORS
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from forked import TRAINED, Forks, wait_for
from pandas.testing import assert_frame_equal
from tiny import TRAINING, VAE, numbers, one_cell

ARCHITECTURES = ("linear", "categorical", "two-layer-linear")
PRESET = Preset("tiny", {STEPS: TRAINING})


@pytest.fixture(scope="module")
def tasks() -> dict[str, MnistVae]:
    return {arch: MnistVae(arch=arch, batch=8) for arch in ARCHITECTURES}


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two states differ in any bit."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        return [found for key in one for found in differences(one[key], other[key], f"{at}/{key}")]
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        return [
            found for k, pair in enumerate(zip(one, other, strict=True)) for found in differences(*pair, f"{at}/{k}")
        ]
    if isinstance(one, torch.Tensor | np.ndarray):
        pair = [np.asarray(x.detach() if isinstance(x, torch.Tensor) else x) for x in (one, other)]
        same = pair[0].shape == pair[1].shape and pair[0].tobytes() == pair[1].tobytes()
    else:
        same = repr(one) == repr(other)
    return [] if same else [at]


class TestFile:
    STATE = {
        "tensors": [torch.arange(6.0).view(2, 3).T, torch.tensor(3), torch.empty(0, dtype=torch.long)],
        "arrays": {"float32": np.array([1.5, np.nan], np.float32), "float64": np.array([1e-300])},
        "shared": (torch.ones(3), torch.ones(3)[:2]),
        "figure": Quantity(0.1, lo=float("nan"), hi=float("inf")),
        "plain": {0: [None, True, 0.1 + 0.2, "word", (1, (2,))], "empty": {}},
    }

    def test_a_state_comes_back_as_it_was(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path / "below" / "a.safetensors")
        assert checkpoint.load() is None
        checkpoint.save(self.STATE)
        back = Checkpoint(checkpoint.path).load()
        assert differences(self.STATE, back) == [] and back is not None
        assert back["plain"][0][4] == (1, (2,)) and back["tensors"][0].dtype == torch.float32
        back["arrays"]["float32"][0] = 1.25
        assert differences(self.STATE, back) == ["/arrays/float32"]

    def test_a_checkpoint_is_due_after_its_interval(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        checkpoint = Checkpoint(tmp_path / "a.safetensors")
        assert not checkpoint.due and not Checkpoint().due
        monkeypatch.setattr(Checkpoint, "every", 0.0)
        assert checkpoint.due and not Checkpoint().due

    def test_clearing_leaves_other_checkpoints(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(tmp_path / "a.safetensors")
        checkpoint.save({})
        (tmp_path / "b.safetensors").touch()
        checkpoint.clear()
        assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]


class TestBatches:
    def test_batches_resume_within_an_epoch(self) -> None:
        task = MnistVae(arch="linear", batch=1900)
        whole, first, rest = (task.batches(stream(0, "data")) for _ in range(3))
        wanted = [next(whole) for _ in range(6)]
        for x in wanted[:4]:
            assert torch.equal(next(first), x)
        rest.load_state_dict(first.state_dict())
        assert all(torch.equal(next(rest), x) for x in wanted[4:])

    def test_an_epoch_shows_every_image_once(self) -> None:
        task = MnistVae(arch="linear", batch=1000, binarisation="none")
        images = torch.cat(list(itertools.islice(task.batches(stream(0, "data")), len(task.train) // 1000)))
        assert len(images) == len(task.train) // 1000 * 1000
        assert len(images.unique(dim=0)) == len(task.train[: len(images)].unique(dim=0)) == len(images)

    def test_a_batch_larger_than_the_data_is_refused(self) -> None:
        with pytest.raises(UsageError, match="batch must be at most"):
            MnistVae(arch="linear", batch=10_000).batches(stream(0, "data"))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", sorted(ESTIMATORS.builtin))
def test_every_estimator_resumes_to_the_same_bits(
    tasks: dict[str, MnistVae], name: str, arch: str, tmp_path: Path
) -> None:
    task = tasks[arch]
    try:
        whole, first, rest = (TrainStep(task, estimator(name, *task.layers), seed=0) for _ in range(3))
    except Unsupported as reason:
        pytest.skip(str(reason))
    batches = list(itertools.islice(task.batches(stream(0, "data")), 4))
    for x in batches:
        whole(x)
    for x in batches[:2]:
        first(x)
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    checkpoint.save(first.state_dict())
    rest.load_state_dict(checkpoint.load() or {})
    assert differences(whole.state_dict(), rest.state_dict()) != []
    for x in batches[2:]:
        rest(x)
    assert differences(whole.state_dict(), rest.state_dict()) == []


@pytest.mark.parametrize("lost", ["vae", "estimator", "optimizer", "tuner", "generator"])
def test_a_part_missing_from_the_checkpoint_would_be_seen(tasks: dict[str, MnistVae], lost: str) -> None:
    whole, rest = (TrainStep(tasks["linear"], estimator("rebar", tasks["linear"].spec), seed=0) for _ in range(2))
    batches = list(itertools.islice(tasks["linear"].batches(stream(0, "data")), 3))
    fresh = copy.deepcopy(rest.state_dict())
    for x in batches[:2]:
        whole(x)
    rest.load_state_dict(copy.deepcopy(whole.state_dict() | {lost: fresh[lost]}))
    whole(batches[2])
    rest(batches[2])
    assert differences(whole.state_dict(), rest.state_dict()) != []


class TestCell:
    def test_an_interrupted_cell_resumes_and_leaves_no_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Interrupted at its fourth step, the cell is gone on with from the third; --fresh starts again."""
        monkeypatch.setattr(Checkpoint, "every", 0.0)
        cell = one_cell("rebar", "steps", tasks=VAE, preset=PRESET)
        disturbed, quiet = Store(tmp_path / "a"), Store(tmp_path / "b")
        assert run_cells([cell], quiet, Progress()) == {"ok": 1}

        whole, calls = TrainStep.__call__, itertools.count(1)

        def interrupted(step: TrainStep, x: torch.Tensor) -> torch.Tensor:
            if next(calls) == 4:
                raise KeyboardInterrupt
            return whole(step, x)

        monkeypatch.setattr(TrainStep, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_cells([cell], disturbed, Progress())
        assert [path.suffix for path in disturbed.cells.iterdir()] == [".safetensors"]
        assert run_cells([cell], disturbed, Progress()) == {"ok": 1}
        assert next(calls) == 1 + 4 + 3, "three steps were left"
        assert [path.suffix for path in disturbed.cells.iterdir()] == [".parquet"]
        assert_frame_equal(numbers(disturbed), numbers(quiet))

    def test_fresh_ignores_the_checkpoint(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        cell = one_cell("rloo", "steps", tasks=VAE, preset=PRESET)
        Checkpoint(store.checkpoint(cell.part())).save({"done": 5, "trained": 0.0, "points": []})
        steps: list[int] = []
        whole = TrainStep.__call__
        monkeypatch.setattr(TrainStep, "__call__", lambda step, x: steps.append(1) or whole(step, x))
        assert run_cells([cell], store, Progress(), fresh=True) == {"ok": 1}
        assert len(steps) == 6


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.full)])
def test_a_training_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path, kills: int, forks: Forks) -> None:
    """SIGKILL, again and again, while every step is saved; then left to finish."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    waits, steps, finals = random.Random(seed), 100 * (kills + 1), []
    for folder, killed in ((tmp_path / "quiet", 0), (tmp_path / "disturbed", kills)):
        for _ in range(killed):
            run = forks.start("train", folder, steps)
            wait_for(lambda printed: "ready" in printed, folder)
            time.sleep(waits.uniform(0.0, 0.3))
            os.kill(run, signal.SIGKILL)
            assert forks.wait(run) == -signal.SIGKILL, "it had ended before it was killed"
        assert forks.wait(forks.start("train", folder, steps)) == 0, (folder / "output").read_text()
        finals.append(Checkpoint(folder / TRAINED).load())
    assert differences(*finals) == []
