"""docs/figures.md: what each figure answers, the command that draws it, and its picture where a stored run has one."""

from __future__ import annotations

import gallery
from dvae_bench.bench.report.figures.write import FIGURES

INTRODUCTION = """# Figures

`dvae-bench report` writes all of them for a run; `dvae-bench figures RUN NAME` draws one, for a paper, a talk or a
notebook, one or two columns wide, with the estimators, tasks and labels that you choose ([all
options](commands.md)). The pictures below are drawn from the runs in `results/reference`. The colour of an estimator
is that of its family, the same in every figure and on the page; the estimators of plugins are black and bold.

## On the terminal

A run ends with its answers: for each task the best estimators, and what ties with them.

![The answers of a run on a terminal](figures/terminal.svg)

## On the page

![The first screen of a run's page: the best estimators for each kind of latent, and a matrix of estimators and
tasks](first-screen.webp)
"""


def page() -> str:
    return "\n".join([INTRODUCTION, *(_section(name, title) for name, title in FIGURES.items())])


def _section(name: str, title: str) -> str:
    shows = f"## {name}\n\nShows {title}: `dvae-bench figures {gallery.STORED.get(name, 'RUN')} {name}`.\n"
    picture = f"![{title}](figures/{name}.webp)" if name in gallery.STORED else "No stored run has rows for it yet."
    return f"{shows}\n{picture}\n"
