"""The settings of a run, each with its latent in a few words: the columns of the page's matrix."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pandas as pd

from ..latents import latent_of
from .rows import is_training, settings

KINDS = {
    "bernoulli": ("Bits", "bits"),
    "categorical": ("Classes", "classes"),
    "subset": ("Subsets", "items"),
    "sequence": ("Sequences", "tokens"),
    "encodings": ("Codes", "codes"),
}
CONTINUOUS, OTHER = "Continuous", "Other"
ORDER = ("Bits", "Classes", "Subsets", "Sequences", CONTINUOUS, "Codes", OTHER)


@dataclass(frozen=True)
class Column:
    """latent: such as "200 bits". kind: one of ORDER. trained: False for a toy. sites: how large the latent is."""

    task: str
    data: str
    device: str
    latent: str
    kind: str
    trained: bool
    sites: int

    @property
    def setting(self) -> tuple[str, str, str]:
        return self.task, self.data, self.device


def columns(rows: pd.DataFrame) -> list[Column]:
    """Toys, then trained tasks; each by kind of latent and by name."""
    trained = set(rows.loc[is_training(rows), "task"])
    found = [_column(str(task), str(data), str(device), task in trained) for task, data, device in settings(rows)]
    return sorted(found, key=lambda x: (x.trained, ORDER.index(x.kind), x.setting))


def _column(task: str, data: str, device: str, trained: bool) -> Column:
    family, _, size = latent_of(task).partition(" ")
    sites = math.prod(map(int, re.findall(r"\d+", size)))
    kind, unit = KINDS.get(family, (CONTINUOUS, family.title()) if family else (OTHER, ""))
    if size == "1":
        unit = unit.removesuffix("s")
    return Column(task, data, device, f"{size.replace('x', '×')} {unit}".strip(), kind, trained, sites)
