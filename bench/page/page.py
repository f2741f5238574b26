"""The page: autoescaped templates, inlined libraries, and a policy that lets no other script run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from ... import __version__
from ..report.rows import UNSUPPORTED
from ..report.study import Study
from ..statistics.holm import ALPHA
from ..store.files import replace_file
from .leaderboard import leaderboard
from .sections import context, counts, failed, missing, sections

Compared = tuple[str, list[str], pd.DataFrame]
"""A heading, notes, and the verdicts of a pair of runs."""
SCRIPTS = ("state", "answers", "leaderboard", "charts", "page")


def write_page(studies: Sequence[Study], path: Path, comparisons: Sequence[Compared] = ()) -> Path:
    """Write the page of these runs to `path`, with a section for the comparisons if there are any; returns `path`.

    Names, reasons and settings come from plugins and from other people's folders: HTML escapes them, JSON writes "<" as
    its code, and the Content-Security-Policy allows only the page's own scripts, by their SHA-256, and no request.
    Raises Unwritable.
    """
    from ..ranking import correlation
    from .charts import charts, predictions
    from .data import data

    found = charts(list(studies))
    lines = [line for study in studies for line in leaderboard(study)]
    parts = sections(lines)
    anchors = {line.estimator: part.anchor for part in parts for line in part.lines}
    failures = failed(studies)
    scripts = {name: Markup(source) for name, source in _scripts().items()}
    tables = [{"columns": list(map(str, table.columns)), "rows": table.astype(str).to_numpy().tolist()}
              for _, _, table in comparisons if len(table)]  # fmt: skip
    page = _template().render(
        version=__version__,
        studies=studies,
        alpha=ALPHA,
        lines=lines,
        counts=counts(lines),
        comparisons=comparisons,
        charts=found,
        predictions=[sentence for study in studies for sentence in predictions(study.rows)],
        reference=correlation.sentences(correlation.reference()),
        data={**data(studies, lines, anchors, found), "comparisons": tables},
        sections=parts,
        failures=failures,
        unsupported=[failure for failure in failures if failure.status == UNSUPPORTED],
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
    environment.policies["json.dumps_kwargs"] = {}  # as ordered: by default, keys are sorted
    return environment.get_template("page.html.jinja")


@cache
def _scripts() -> dict[str, str]:
    """plotly.js and KaTeX (vendored), and the page's own as one script; without "\\r"."""
    sources = {
        "plotly": _own("vendor/plotly-basic.min.js"),
        "katex": _own("vendor/katex.min.js"),
        "page": "\n".join(_own(f"templates/{name}.js") for name in SCRIPTS),
    }
    return {name: source.replace("\r\n", "\n").replace("\r", "\n") for name, source in sources.items()}


def _css() -> str:
    return "".join(map(_own, ("vendor/pico.classless.min.css", "vendor/katex.min.css", "templates/page.css")))


def _own(name: str) -> str:
    return files("dvae_bench.bench.page").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
