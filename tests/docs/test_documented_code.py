"""Every Python block of every page runs, those of a page one after another, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from documents import PAGES, Page, save_files


@pytest.mark.parametrize("page", [page for page in PAGES if page.code], ids=str)
def test_a_pages_code_runs(page: Page, tmp_path: Path) -> None:
    save_files(tmp_path)
    code = "\n".join(body for title, body in page.code if not title)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
