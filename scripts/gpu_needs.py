"""Says in one sentence which packages scripts/gpu_check.sh needs and this Python does not have; then ends with 2.

It imports nothing but Python's own library before it knows. What a package needs in turn is named too.
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
    """What the package depends on, itself, and what runs its tests."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return [*(re.split(r"[^\w-]", text)[0] for text in project["dependencies"]), project["name"], "pytest"]


def missing(names: list[str]) -> list[str]:
    """Those that have no metadata or cannot be imported, or what they could not import."""
    absent = []
    for name in names:
        try:
            distribution(name)
            import_module(name.replace("-", "_"))
        except ImportError as error:
            absent.append((error.name or name).partition(".")[0].replace("_", "-"))
    return list(dict.fromkeys(absent))


def sentence(absent: list[str]) -> str:
    """What is absent, and how it is brought with a network and without one."""
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
