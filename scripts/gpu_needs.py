"""Names in one sentence the packages that scripts/gpu_check.sh needs and this Python lacks, and exits with 2.

Uses the standard library only. Dependencies of these packages that are missing are named too.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def needed() -> list[str]:
    """The dependencies of the package, the package itself, and the test runner."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return [*(re.split(r"[^\w-]", text)[0] for text in project["dependencies"]), project["name"], "pytest"]


def missing(names: list[str]) -> list[str]:
    """The packages that are not installed, and the modules that an installed one fails to import."""
    absent = []
    for name in names:
        try:
            distribution(name)
            import_module(name.replace("-", "_"))
        except ImportError as error:
            absent.append((error.name or name).partition(".")[0].replace("_", "-"))
    return list(dict.fromkeys(absent))


def sentence(absent: list[str]) -> str:
    """The message: which packages are absent, and how to install them with and without a network."""
    what = " ".join("." if name == "dvae-bench" else name for name in absent)
    return (
        f"gpu_check: {sys.executable} lacks {', '.join(absent)}; run `pip install {what}`, or without a network bring "
        f"wheels, made elsewhere by `pip wheel --no-deps --wheel-dir .whl {what}`, run "
        "`pip install --no-index --no-deps --target SITE .whl/*.whl` and set PYTHONPATH=SITE"
    )


def main() -> None:
    if absent := missing(needed()):
        print(sentence(absent), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
