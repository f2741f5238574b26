"""The command line in this process: what it prints, how it exits, and nothing left behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dvae_bench import cli
from dvae_bench.bench.run.presets import PRESETS, Preset
from dvae_bench.bench.sources import CLOCK, DRAWS, STEPS
from dvae_bench.bench.sources.settings import ClockSettings, DrawSettings, TrainSettings
from dvae_bench.bench.store import code_hash
from dvae_bench.commands.plugins import KINDS

TINY = Preset(
    "quick",
    {
        DRAWS: DrawSettings(blocks=24, rows=20, tuning_steps=2, tuning_rows=4),
        STEPS: TrainSettings(steps=2, evaluations=1, images=10, iw_images=5, iw_samples=2, variance_draws=4),
        CLOCK: ClockSettings(warmup=1, repetitions=6, seconds=0.0, rows=10),
    },
)


@dataclass(frozen=True)
class Ended:
    """A finished command."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Call `dvae-bench` with these arguments; each call starts, as a process would, without plugins of the last."""
    before = {kind: dict(registry.extra) for kind, registry in KINDS.items()}

    def forget_plugins() -> None:
        code_hash._parse.cache_clear()
        code_hash.fingerprint.cache_clear()
        for kind, registry in KINDS.items():
            registry.extra = dict(before[kind])
        for name in [name for name in sys.modules if name.startswith("dvae_bench_plugin_")]:
            del sys.modules[name]

    def call(*arguments: str | Path) -> Ended:
        forget_plugins()
        monkeypatch.setattr(sys, "argv", ["dvae-bench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
            sys.exit(0)
        printed = capsys.readouterr()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, printed.out, printed.err)

    yield call
    forget_plugins()


@pytest.fixture
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset at next to no work."""
    monkeypatch.setitem(PRESETS, "quick", TINY)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of tables only: a figure costs half a second."""
    monkeypatch.setattr("dvae_bench.bench.report.write_figures", lambda *rest, **more: ([], []))


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a plugin file with one estimator, like REINFORCE but for the code put before its answer."""

    def write(name: str, code: str = "pass", stem: str | None = None) -> Path:
        path = tmp_path / f"{stem or name.replace('-', '_')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'''"""A plugin of the tests."""

from dvae_bench.estimators.contract import Claim, Estimate, Estimator, expand_right


class Mine(Estimator):
    """f(z) ∇ log q(z)."""

    name = "{name}"
    latents = ("bernoulli",)
    hyperparameters = {{"scale": {{"default": 1.0, "above": 0.0}}}}

    def claim(self):
        return Claim()

    def sample(self, latent, generator):
        return latent.sample(1, generator)

    def gradient(self, f, latent, draw):
        {code}
        value, score = f(draw), latent.score(draw)
        return Estimate(value.mean(0), self.scale * (expand_right(value.detach(), score) * score).mean(0))
'''
        )
        return path

    return write
