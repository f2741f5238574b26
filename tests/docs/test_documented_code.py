"""Every Python block of every page runs, those of a page one after another, beside the files that the pages save."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from documents import PAGES, Page, save_files


@pytest.mark.parametrize("page", [page for page in PAGES if page.code], ids=str)
def test_a_pages_code_runs(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for saved in save_files(tmp_path):
        monkeypatch.delitem(sys.modules, saved.stem, raising=False)
    code = "\n".join(body for title, body in page.code if not title)
    exec(compile(code, page.name, "exec"), {"__name__": "__main__"})
