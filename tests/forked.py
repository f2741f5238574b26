"""Runs in processes of their own that start without importing anything, to be killed: `Forks`, and the script below.

The script loads what a run needs and forks at a word. It reads lines of words between tabs,

    run FOLDER ARGUMENTS...    `dvae-bench ARGUMENTS` in FOLDER: tiny, without a report, with checkpoints all along
    train FOLDER STEPS         a training that says `ready` at its first step, with a checkpoint after each
    wait PROCESS

and answers with the process, and with its exit code. A process prints into FOLDER/output.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TRAINED = "final.safetensors"
HELD_BACK = {signal.SIGINT, signal.SIGTERM}


class Forks:
    """The script, and the processes that it forks."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self.parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()  # once it has loaded everything

    def start(self, what: str, folder: Path, *words: object) -> int:
        """Run or train in the folder; the process."""
        folder.mkdir(exist_ok=True)
        return self._ask(what, str(folder), *map(str, words))

    def wait(self, process: int) -> int:
        """Its exit code; minus the signal that killed it."""
        return self._ask("wait", str(process))

    def close(self) -> None:
        self.parent.communicate()

    def _ask(self, *words: str) -> int:
        assert self.parent.stdin is not None
        print("\t".join(words), file=self.parent.stdin, flush=True)
        return self._answer()

    def _answer(self) -> int:
        assert self.parent.stdout is not None
        return int(self.parent.stdout.readline())


def wait_for(printed: Callable[[str], object], folder: Path) -> None:
    """Wait until `printed` is true of what the process in the folder has printed."""
    while not printed((folder / "output").read_text()):
        time.sleep(0.01)


def run(arguments: list[str]) -> None:
    from dvae_bench import cli

    stoppable = cli.stoppable

    @contextmanager
    def heard() -> Iterator[None]:
        """Signals, which are held back since before the fork, are delivered while the command runs."""
        with stoppable():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)

    cli.stoppable, sys.argv = heard, ["dvae-bench", *arguments]
    cli.main()


def train(steps: int) -> None:
    """What is left in FOLDER/TRAINED is the last state of everything."""
    from dvae_bench.bench.sources.training import trajectory
    from dvae_bench.bench.sources.training.checkpoint import Checkpoint
    from dvae_bench.bench.sources.training.loop import train
    from dvae_bench.estimators import estimator
    from dvae_bench.tasks.vae.mnist_vae import MnistVae
    from tiny import TRAINING, replace

    made = []

    class Watched(trajectory.TrainStep):
        """A step that can be looked into after training."""

        def __call__(self, *given: object) -> object:
            if not made:
                print("ready", flush=True)
                made.append(self)
            return super().__call__(*given)

    trajectory.TrainStep = Watched
    Checkpoint.every = 0.0
    task = MnistVae(arch="linear", batch=16, prior="trainable", optimizer="radam", schedule="cosine", warmup=3)
    settings = replace(TRAINING, steps=steps, evaluations=5)
    checkpoint = Checkpoint(Path("run.safetensors"))
    points = train(task, estimator("rebar", task.spec), settings, 0, lambda fraction: None, checkpoint)
    final = {"step": made[0].state_dict(), "points": [point.metrics for point in points]}
    Checkpoint(Path(TRAINED)).save(final)


def load() -> None:
    """Import and remember what every process needs, and make it tiny."""
    import torch
    from dvae_bench.bench.report import Study
    from dvae_bench.bench.run import session
    from dvae_bench.bench.run.presets import PRESETS
    from dvae_bench.bench.run.process_state import shared_state
    from dvae_bench.bench.sources import STEPS
    from dvae_bench.bench.sources.training.checkpoint import Checkpoint
    from dvae_bench.tasks.vae.datasets import load_mnist
    from tiny import TINY, VAE, grid

    torch.set_num_threads(1)
    PRESETS["quick"] = TINY.changed(STEPS, steps=30, evaluations=2)
    Study.tables = []
    session.write_report = lambda study, folder: []
    session.write_page = lambda studies, path: path
    Checkpoint.every = 0.02
    shared_state("cpu")
    load_mnist()
    for cell in grid("rloo", "rebar", tasks=["bit", VAE]):
        cell.key()
    gc.collect()
    gc.freeze()


def in_fork(what: str, folder: str, words: list[str]) -> int:
    """Run or train in a process just forked; its exit code."""
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    try:
        run(words) if what == "run" else train(int(words[0]))
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
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    load()
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        what, *words = line.rstrip("\n").split("\t")
        if what == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(int(words[0]), 0)[1]), flush=True)
            continue
        (Path(words[0]) / "output").write_text("")
        process = os.fork()
        if process == 0:
            os._exit(in_fork(what, words[0], words[1:]))
        print(process, flush=True)


if __name__ == "__main__":
    main()
