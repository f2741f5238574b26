"""Files from a mirror that may be slow, silent or wrong, with limits to the wait and to their size."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from . import idx

TIMEOUT = 3.0  # seconds to connect, and between two pieces
ANSWER_WITHIN = 4.0  # seconds for the first answer, name look-up included
PATIENCE, SLOWEST = 15.0, 10_000  # seconds after which a download of fewer bytes per second is given up


def answers(url: str) -> bool:
    """Whether the mirror has the file, asked in a thread, since the look-up of its name has no time limit."""
    import pooch

    found: list[bool] = []

    def ask() -> None:
        try:
            found.append(pooch.HTTPDownloader(timeout=TIMEOUT)(url, None, None, check_only=True))
        except OSError:
            found.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_WITHIN)
    return found == [True]


def download(url: str, path: Path) -> None:
    """Write the file to `path`, in a thread. Raises OSError when it cannot be had, is slow, or is too large."""
    raised: list[Exception] = []

    def run() -> None:
        try:
            fetch(url, path)
        except Exception as error:
            raised.append(error)

    thread, start = threading.Thread(target=run, daemon=True), time.monotonic()
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
        size, seconds = path.stat().st_size if path.exists() else 0, time.monotonic() - start
        if thread.is_alive() and (size > idx.LARGEST or (seconds > PATIENCE and size < SLOWEST * seconds)):
            raise TimeoutError if size <= idx.LARGEST else ConnectionError
    if raised:
        raise raised[0]


def fetch(url: str, path: Path) -> None:
    """As `download`, without its limits."""
    import pooch

    bar = _ProgressBar(f"downloading {path.name}") if sys.stderr.isatty() else None
    try:
        pooch.HTTPDownloader(progressbar=bar or False, chunk_size=1 << 16, timeout=TIMEOUT)(url, str(path), None)
    finally:
        if bar:
            bar.close()


class _ProgressBar:
    """A rich progress bar with the four names that pooch needs."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress

        self.total = 0
        self._bar = Progress(*Progress.get_default_columns(), DownloadColumn(), console=Console(stderr=True))
        self._task = self._bar.add_task(label, total=None)
        self._bar.start()

    def update(self, size: int) -> None:
        self._bar.update(self._task, total=self.total, advance=size)

    def reset(self) -> None:
        self._bar.reset(self._task)

    def close(self) -> None:
        self._bar.stop()
