"""What every test begins with: the embedded digits, one thread, one random state, and nothing that another left."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read once, when numpy and torch are imported, here and in what tests start

import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browsing import chromium
from command_line import Command, Ended
from dvae_bench import cli
from dvae_bench.bench.run.presets import PRESETS
from dvae_bench.bench.store import code_hash
from dvae_bench.bench.store.store import Store
from dvae_bench.commands.plugins import KINDS
from dvae_bench.tasks.vae.datasets import DATA_VARIABLE, look_in
from forked import Forks
from plugin_files import CONFORMS, REINFORCE, estimator, installed
from tiny import TINY

WritePlugin = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def _imports_are_no_garbage() -> Iterator[None]:
    """Timings collect garbage before every block: what is imported by now, a million objects, is none."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _embedded_digits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, "embedded")
        yield


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)  # torch.manual_seed notes a stack trace for each absent accelerator
    before = {kind: dict(registry.extra) for kind, registry in KINDS.items()}
    yield
    forget_plugins(before)
    look_in(None)


def forget_plugins(registered: dict[str, dict]) -> None:
    """Leave these registered, and no module of a plugin file imported."""
    for kind, registry in KINDS.items():
        registry.extra = dict(registered[kind])
    for name in [name for name in sys.modules if name.startswith("dvae_bench_plugin_")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture
def rng() -> np.random.Generator:
    """At the same seed in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def plugin_file(tmp_path: Path) -> WritePlugin:
    """Write a plugin file: the estimator of `plugin_files.estimator`, or another source."""

    def write(
        name: str,
        code: str = "pass",
        answer: str = REINFORCE,
        facts: str = CONFORMS,
        source: str | None = None,
        below: str = "",
    ) -> Path:
        path = tmp_path / below / f"{name.replace('-', '_')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():  # a process hashes a file once
            code_hash._parse.cache_clear()
            code_hash.fingerprint.cache_clear()
        path.write_text(estimator(name, code, answer, facts) if source is None else source, encoding="utf-8")
        return path

    return write


@pytest.fixture
def plugin(plugin_file: WritePlugin) -> WritePlugin:
    """Write a plugin file and register what it holds."""

    def register(*given: str, **named: str) -> Path:
        path = plugin_file(*given, **named)
        for registry in KINDS.values():
            registry.add_file(path)
        return path

    return register


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package of `plugin_files.installed` for this test."""

    def forget() -> None:
        for registry in KINDS.values():
            vars(registry).pop("third_party", None)

    def add(package: str, points: str, **modules: str) -> None:
        folder = tmp_path / "site" / package
        installed(folder, package, points, **modules)
        monkeypatch.syspath_prepend(folder)
        forget()

    yield add
    forget()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call `dvae-bench` with these arguments; each call starts, as a process would, without plugins of the last."""
    forget = partial(forget_plugins, {kind: dict(registry.extra) for kind, registry in KINDS.items()})

    def call(*arguments: object) -> Ended:
        forget()
        monkeypatch.setattr(sys, "argv", ["dvae-bench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
            sys.exit(0)
        printed = capsys.readouterr()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, printed.out, printed.err)

    return call


@pytest.fixture
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset at next to no work."""
    monkeypatch.setitem(PRESETS, "quick", TINY)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which take half a second each."""
    monkeypatch.setattr("dvae_bench.bench.report.write_figures", lambda *rest, **more: ([], []))


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without their page, which takes a quarter of a second."""
    monkeypatch.setattr("dvae_bench.bench.run.session.write_page", lambda studies, path: path)
