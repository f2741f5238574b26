"""A process ends with the run that started it, however the run ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1  # of prctl(2)


def killed_with_parent() -> None:
    """Let the system kill this process when its parent, more exactly the thread that forked it, is gone; Linux only.

    The fork server and its processes each call this: a process is the fork server's child, and keeps the server alive
    beyond the run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_run() -> None:
    """End this process when the run that started it is gone.

    Where the system does not kill it, a thread ends it, once no native code holds the interpreter lock.
    """
    killed_with_parent()
    threading.Thread(target=_wait_for_run, daemon=True).start()


def _wait_for_run() -> None:
    run = multiprocessing.parent_process()
    assert run is not None
    run.join()
    os._exit(1)
