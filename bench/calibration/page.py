"""The page docs/calibration.md and its figures, from the stored results alone."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from ..compare.effect import WORDS
from ..compare.metrics import MARGINS
from ..report.figures.style import GREY, STYLES, style
from ..statistics.bias_test import POWER
from ..statistics.holm import ALPHA
from ..statistics.intervals import share_interval
from .levels import LEVELS, PROMISED

JUDGED = ("0.05", "0.01")
INFLATION, COVERED, OVERCOVERED, KURTOSIS, WORSE, ENOUGH = 1.3, 0.93, 0.97, 1.5, 0.01, 1000
MET, MISSED, DECLINED, TOO_FEW = "met", "**missed**", "met, over all runs", "too few verdicts"
_HIGHEST = 3.0  # on the y axis of the figure of false alarms
_WIDTH = STYLES["paper"][0]
_KEYS = ["case", "coordinates", "n"]
_TEXT = f"""# Calibration

{{summary}}

This page shows how often the verdicts of dvae-bench are wrong, on draws whose distribution is
known. `make calibrate` writes it from `results/reference/calibration.csv`, seed {{seed}};
every calibration takes a fresh seed. Shares have exact (Clopper-Pearson) 95 % intervals.

Every run is tested by the same functions as an estimator, in 64 blocks of draws. For variances,
every draw passes through the accumulator. Bias tests need only block means; these are simulated
directly where their distribution is known (from binomial counts for two-point coordinates), and
otherwise computed by averaging every draw.

| case | draws |
|:--|:--|
{{cases}}

## False alarms of the bias test

The null hypothesis is true: the tested mean is the true one. The table shows the share of runs that
are `not testable` and, among the other runs, the share of verdicts that are wrongly `biased`.
Target: at most {INFLATION:g} times the nominal level at 5 % and at 1 %; with fewer than {ENOUGH:,}
verdicts, the target applies to the share of all runs. dvae-bench itself tests at 0.1 % or less.

{{level}}

![False alarms against the nominal level, up to {_HIGHEST:g} times](calibration/level.png)

## Power of the bias test

The draws contain a bias of known size. The tables show the share of runs in which the test detects
it at alpha = {ALPHA:g}. The [smallest detectable
bias](glossary.md#smallest-detectable-bias-sdb) promises that a scale error of that size, given as
`size` in percent of the gradient, is detected in {POWER:.0%} of the runs. The target is missed where
the interval lies below, at the level that keeps 95 % for all cases together (Bonferroni). The sizes
of the second table are in standard errors of each coordinate; `random direction` has the bias
predicted to be detectable in a random direction approximately {POWER:.0%} of the time.

{{power}}

{{planted}}

![Power against the size of the scale error](calibration/power.png)

## Coverage of the variance interval

The table shows the share of nominal 95 % intervals that contain the true total variance, among runs
not refused as `heavy-tailed`. Target: at least {COVERED:.0%}, and at most {OVERCOVERED:.0%} where the
kurtosis of the squared distance (median of the runs) is above {KURTOSIS:g}; for a kurtosis near
one, the intervals are necessarily too wide. `half-width` is that of the interval, relative to the
variance.

{{variance}}

![Coverage of the variance interval](calibration/variance.png)

## A/A comparisons

Two runs of the same distribution with different draws are compared as `dvae-bench compare`
compares total variances (margin {MARGINS["var_total"]:.0%}), but with one look only; `compare`
reports a change only if a second look with fresh draws agrees. Target: `worse` in at most {WORSE:.0%}.

{{same}}
"""


def write_page(rows: pd.DataFrame, folder: Path) -> None:
    """Write folder/calibration.md, and its figures into folder/calibration/."""
    figures = folder / "calibration"
    figures.mkdir(parents=True, exist_ok=True)
    (folder / "calibration.md").write_text(text(rows), encoding="utf-8")
    for name, draw in (("level", _level_figure), ("power", _power_figure), ("variance", _variance_figure)):
        with style():
            draw(rows).savefig(figures / f"{name}.png")


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a target, with a column `verdict` added."""
    kurtosis = rows[rows["quantity"] == "kurtosis"].set_index(_KEYS)["value"].to_dict()
    promises = int((rows["quantity"] == PROMISED).sum())
    planned = int(rows.loc[rows["quantity"] == "not testable", "runs"].max())

    def verdict(row: pd.Series) -> str:
        hits, runs, share, quantity = row["hits"], row["runs"], row["value"], row["quantity"]
        if row["part"] == "level" and quantity in JUDGED:
            most = INFLATION * float(quantity)
            if runs < ENOUGH:
                return MISSED if hits > most * planned else DECLINED
            return MISSED if share > most else MET
        if quantity == PROMISED:
            return MISSED if share_interval(hits, runs, 0.05 / promises)[1] < POWER else MET
        if quantity == "covered":
            tight = kurtosis[tuple(row[_KEYS])] > KURTOSIS
            most, (lo, hi) = OVERCOVERED if tight else 1.0, share_interval(hits, runs)
            if runs < ENOUGH:
                return MISSED if hi < COVERED or lo > most else TOO_FEW
            return MET if COVERED <= share <= most else MISSED
        if quantity == "worse":
            return MISSED if share > WORSE else MET
        return ""

    found = rows.assign(verdict=[verdict(row) for _, row in rows.iterrows()])
    return found[found["verdict"] != ""]


def text(rows: pd.DataFrame) -> str:
    """The page in Markdown."""
    found = judged(rows)
    missed = found[found["verdict"] == MISSED]
    where = ", ".join(
        f"{row['case']} ({row['part']}: {row['quantity']}, n = {row['n']:,})" for _, row in missed.iterrows()
    )
    met = found["verdict"].isin([MET, DECLINED]).sum()
    summary = f"Targets met: {met} of {len(found)}" + (f"; **missed**: {where}." if where else ".")
    about = rows.drop_duplicates("case")
    power = _part(rows, "power")["quantity"].drop_duplicates()
    scales = power.str.startswith("scale")
    return _TEXT.format(
        seed=rows["seed"].iloc[0],
        summary=textwrap.fill(summary, 100, break_on_hyphens=False),
        cases="\n".join(f"| {row['case']} | {row['about']} |" for _, row in about.iterrows()),
        level=_table(rows, found, "level", ["not testable", "0.05", "0.01", "0.001"]),
        power=_table(rows, found, "power", ["size", *power[scales]]),
        planted=_table(rows, found, "power", list(power[~scales])),
        variance=_table(rows, found, "variance", ["kurtosis", "half-width", "refused", "covered", "interval too low"]),
        same=_table(rows, found, "variance", list(WORDS)),
    )


def _part(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    return rows[rows["part"] == part]


def _table(rows: pd.DataFrame, found: pd.DataFrame, part: str, quantities: list[str]) -> str:
    """One line per case with any of these quantities, shares in percent; last the worst verdict on them, if any."""
    shown, verdicts = _part(rows, part), _part(found, part)
    shown, verdicts = (frame[frame["quantity"].isin(quantities)] for frame in (shown, verdicts))
    words = {keys: set(case["verdict"]) for keys, case in verdicts.groupby(_KEYS)}
    heads = ["case", "D", "n", *map(_head, quantities), *(["target"] if words else [])]
    lines = [f"{int(shown['runs'].max()):,} runs per case; shares in percent.", "", _line(heads)]
    lines.append("|:--|" + "--:|" * (len(heads) - 1))
    for keys, case in shown.groupby(_KEYS, sort=False):
        cells = [str(keys[0]), str(keys[1]), f"{keys[2]:,}"]
        cells += [_cell(case, quantity) for quantity in quantities]
        cells += [word for word in (MISSED, TOO_FEW, DECLINED, MET) if word in words.get(keys, ())][:1]
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(quantity: str) -> str:
    return f"at {float(quantity):.1%}".replace(".0%", " %") if quantity[0] == "0" else quantity.removeprefix("scale, ")


def _cell(case: pd.DataFrame, quantity: str) -> str:
    column = case["quantity"] == (PROMISED if quantity == "size" else quantity)
    if not column.any():
        return ""
    hits, runs, value = case.loc[column, ["hits", "runs", "value"]].to_numpy(dtype=float)[0]
    if quantity == "size":
        return f"{100 * value:.2f}"
    if not runs > 0:
        return "–" if np.isnan(value) else f"{value:.3g}"
    lo, hi = share_interval(hits, runs)
    return f"{100 * hits / runs:.2f} [{100 * lo:.2f}, {100 * hi:.2f}]"


def _labels(rows: pd.DataFrame) -> pd.Series:
    return rows["case"] + rows["n"].map(", n={:,}".format)


def _level_figure(rows: pd.DataFrame) -> Figure:
    """False alarms over their nominal rate, one line per case, with the band of a perfect test; cut at _HIGHEST."""
    shown = _part(rows, "level")
    shown = shown[shown["quantity"].str.startswith("0") & (shown["runs"] >= ENOUGH)]
    figure = Figure(figsize=(_WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    runs, levels = int(shown["runs"].max()), np.array(LEVELS)
    lo, hi = (stats.binom.ppf(q, runs, levels) / runs / levels for q in (0.025, 0.975))
    axes.fill_between(levels, lo, hi, color="0.85", label=f"a perfect test, {runs:,} runs")
    axes.axhline(INFLATION, color="black", ls="--", lw=0.8, label=f"target at 5 % and 1 %: {INFLATION:g}")
    _lines(axes, shown, shown["quantity"].astype(float), shown["value"] / shown["quantity"].astype(float))
    axes.set(xscale="log", xlabel="nominal level", ylabel="false alarms / nominal", ylim=(0, _HIGHEST))
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def _power_figure(rows: pd.DataFrame) -> Figure:
    """Power against the scale error, in units of the smallest detectable bias."""
    shown = _part(rows, "power")
    shown = shown[shown["quantity"].str.startswith("scale")]
    figure = Figure(figsize=(_WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(POWER, color="black", ls="--", lw=0.8, label=f"promised at 1: {POWER:.0%}")
    _lines(axes, shown, shown["quantity"].str.split().str[1].astype(float), shown["hits"] / shown["runs"])
    axes.set(xlabel="scale error / smallest detectable bias", ylabel=f"detected at alpha = {ALPHA:g}", ylim=(0, 1.02))
    figure.legend(loc="outside right upper", fontsize="small")
    return figure


def _lines(axes: Axes, shown: pd.DataFrame, x: pd.Series, y: pd.Series) -> None:
    names = _labels(shown)
    palette = sns.color_palette("husl", names.nunique())
    for (name, index), colour in zip(names.groupby(names, sort=False).groups.items(), palette, strict=True):
        axes.plot(x[index], y[index], marker=".", color=colour, label=name)


def _variance_figure(rows: pd.DataFrame) -> Figure:
    """Coverage with its interval, one line per case, and the band of the target."""
    shown = _part(rows, "variance")
    shown = shown[(shown["quantity"] == "covered") & (shown["runs"] > 0)].reset_index(drop=True)
    figure = Figure(figsize=(_WIDTH, 0.8 + 0.2 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(COVERED, OVERCOVERED, color="0.9", lw=0)
    axes.axvline(0.95, color=GREY, lw=0.8)
    bounds = np.array([share_interval(*counts) for counts in shown[["hits", "runs"]].to_numpy(dtype=float)]).T
    axes.errorbar(shown["value"], shown.index, xerr=np.abs(bounds - shown["value"].to_numpy()), fmt="o", color="C0")
    axes.set_yticks(shown.index, _labels(shown))
    axes.invert_yaxis()
    axes.set_xlabel(f"coverage of the 95 % interval; grey: the target (its upper end where kurtosis > {KURTOSIS:g})")
    return figure
