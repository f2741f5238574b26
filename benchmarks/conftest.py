"""Runs benchmarks on one thread with malloc set to keep freed memory, and prints their ratios at the end."""

from __future__ import annotations

import pytest
from dvae_bench.bench.sources.timing.clock import steady_host


def pytest_configure() -> None:
    steady_host(threads=1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    for bench in getattr(session, "benchmarks", []):
        facts = {key: value for key, value in bench.extra_info.items()}
        if facts:
            shown = ", ".join(f"{key} {_text(value)}" for key, value in facts.items())
            terminalreporter.write_line(f"{bench.name}: {shown}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "{value:.3f}x [{lo:.3f}, {hi:.3f}]".format(**value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
