"""A process that has loaded all a run needs, and forks one at a word: a start costs no seconds of imports.

It reads lines of words between tabs, `start FOLDER ARGUMENTS` and `wait PROCESS`, and answers with the process, and
with its exit code. Runs are tiny, without tables, figures and page, and write checkpoints all along.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from dvae_bench import cli
from dvae_bench.bench import report
from dvae_bench.bench.run import session
from dvae_bench.bench.run.presets import PRESETS, Preset
from dvae_bench.bench.run.process_state import shared_state
from dvae_bench.bench.sources import CLOCK, DRAWS, STEPS
from dvae_bench.bench.sources.settings import ClockSettings, DrawSettings, TrainSettings
from dvae_bench.bench.sources.training.checkpoint import Checkpoint
from dvae_bench.tasks.vae.datasets import load_mnist

PRESETS["quick"] = Preset(
    "quick",
    {
        DRAWS: DrawSettings(blocks=8, rows=8, tuning_steps=2, tuning_rows=4),
        STEPS: TrainSettings(
            steps=30, seconds=1e6, evaluations=2, images=10, iw_images=5, iw_samples=2, variance_draws=4
        ),
        CLOCK: ClockSettings(warmup=1, repetitions=6, seconds=0.0, rows=10),
    },
)
report.write_tables = lambda tables, folder: []
report.write_figures = lambda *rest, **more: ([], [])
session.write_page = lambda studies, path: path
Checkpoint.every = 0.02


def run(folder: str, arguments: list[str]) -> int:
    """In the forked process."""
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.argv = ["dvae-bench", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()
    return 0


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell passes it on ignored
    shared_state("cpu")
    load_mnist()
    for line in sys.stdin:
        word, *rest = line.rstrip("\n").split("\t")
        if word == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(int(rest[0]), 0)[1]), flush=True)
            continue
        output = Path(rest[0]) / "output"
        output.write_text("")
        process = os.fork()
        if process == 0:
            os._exit(run(rest[0], rest[1:]))
        print(process, flush=True)


main()
