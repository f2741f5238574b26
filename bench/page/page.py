"""The page: autoescaped templates, inlined libraries, and a policy that lets no other script run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from ... import __version__
from ..report.study import Study
from ..statistics.holm import ALPHA
from ..store.files import replace_file
from .leaderboard import COLUMNS, leaderboard
from .sections import context, failed, missing, sections

Compared = tuple[str, list[str], pd.DataFrame]
"""A heading, notes, and the verdicts of a pair of runs."""
_LOCAL_NAME = re.compile(r"(\w+) as default")


def write_page(studies: Sequence[Study], path: Path, comparisons: Sequence[Compared] = ()) -> Path:
    """Write the page of these runs to `path`, with a section for the comparisons if there are any; returns `path`.

    Names, reasons and settings come from plugins and from other people's folders: HTML escapes them, JSON writes "<" as
    its code, and the Content-Security-Policy allows only the page's own scripts, by their SHA-256, and no request.
    Raises Unwritable.
    """
    from .charts import charts, data

    found = charts(list(studies))
    lines = [line for study in studies for line in leaderboard(study)]
    parts = sections(lines)
    scripts = {name: Markup(source) for name, source in _scripts().items()}
    page = _template().render(
        version=__version__,
        studies=studies,
        alpha=ALPHA,
        lines=lines,
        columns=COLUMNS,
        anchors={line.estimator: part.anchor for part in parts for line in part.lines},
        comparisons=comparisons,
        charts=found,
        data=data(found),
        sections=parts,
        failures=failed(studies),
        contexts=[context(study) for study in studies],
        missing=missing(studies, lines, {chart.title: chart.views for chart in found}),
        scripts=scripts,
        css=Markup(_css()),
        policy=" ".join(map(_hash, scripts.values())),
    )
    replace_file(path, page.encode())
    return path


def _template() -> Template:
    loader = PackageLoader("dvae_bench.bench.page")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja")


@cache
def _scripts() -> dict[str, str]:
    """plotly.js and KaTeX (vendored), DataTables (of itables) as window.DataTable, the page's own; without "\\r"."""
    bundle = _itables("dt_bundle.js")
    name = _LOCAL_NAME.search(bundle)
    assert name is not None, "itables exports its DataTables as default"
    sources = {
        "plotly": _own("vendor/plotly-basic.min.js"),
        "katex": _own("vendor/katex.min.js"),
        "tables": f"{bundle}\nwindow.DataTable = {name[1]};\n",
        "page": _own("templates/page.js"),
    }
    return {name: source.replace("\r\n", "\n").replace("\r", "\n") for name, source in sources.items()}


def _css() -> str:
    return _itables("dt_bundle.css") + _own("vendor/katex.min.css") + _own("templates/page.css")


def _own(name: str) -> str:
    return files("dvae_bench.bench.page").joinpath(name).read_text(encoding="utf-8")


def _itables(name: str) -> str:
    """The text of a file of the package itables, which is not imported."""
    return Path(str(distribution("itables").locate_file(f"itables/html/{name}"))).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
