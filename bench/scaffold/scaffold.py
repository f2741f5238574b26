"""The package of a new estimator, which works and is yours to change."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...estimators.names import UsageError
from ...estimators.registry import ESTIMATORS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 60
_FILES = {
    "pyproject.toml": "pyproject.toml.jinja",
    "README.md": "README.md.jinja",
    "{module}.py": "estimator.py.jinja",
    "test_{module}.py": "test.py.jinja",
}


def new_estimator(name: str, folder: Path | None = None) -> list[Path]:
    """Write the package of an estimator of this name to `folder` (default: the name); returns its files.

    Raises UsageError if the name is malformed or taken, or if the folder is not empty.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} is not a valid name of an estimator; use lower-case letters, digits and single hyphens, "
            f"beginning with a letter, at most {_LONGEST} characters, as in my-estimator"
        )
    taken = {word for plugin in ESTIMATORS for word in plugin.names}
    if name in taken:
        raise UsageError(f"an estimator {name!r} exists already (`dvae-bench show {name}`); choose another name")
    folder = Path(name) if folder is None else folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; choose another with -o")
    words = name.split("-")
    module = "dvae_bench_" + "_".join(words)
    given = {"name": name, "module": module, "class_name": "".join(map(str.capitalize, words)) + "Estimator"}
    templates = Environment(
        loader=PackageLoader("dvae_bench.bench.scaffold"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for file, template in _FILES.items():
        files.append(folder / file.format(module=module))
        text = templates.get_template(template).render(given)
        files[-1].write_text(text, encoding="utf-8", newline="\n")
    return files
