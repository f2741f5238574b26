"""Every Python block of every page runs, those of a page one after another, beside the files that the pages save."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from documents import PAGES, ROOT, Page, save_files
from matplotlib import pyplot

LOGGED: dict[str, dict[str, list[tuple[int, float]]]] = {}


class SummaryWriter:
    """Stands for the one of TensorBoard, which is not installed for the tests: folder -> name -> (step, value)."""

    def __init__(self, log_dir: str) -> None:
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        LOGGED[log_dir] = self.scalars

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars.setdefault(tag, []).append((int(global_step), float(scalar_value)))

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def _tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch.utils.tensorboard")
    vars(module)["SummaryWriter"] = SummaryWriter
    monkeypatch.setitem(sys.modules, module.__name__, module)
    LOGGED.clear()


@pytest.mark.parametrize("page", [page for page in PAGES if page.code], ids=str)
def test_a_pages_code_runs(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    for saved in save_files(tmp_path):
        monkeypatch.delitem(sys.modules, saved.stem, raising=False)
    code = "\n".join(body for title, body in page.code if not title)
    exec(compile(code, page.name, "exec"), {"__name__": "__main__"})
    pyplot.close("all")
    if page.name == "tutorials/loop.md":
        assert set(LOGGED["logs/gumbel-softmax"]) == {"gradient/variance", "loss"}
        assert [step for step, _ in LOGGED["logs/rloo"]["elbo_test"]] == [10, 20]
