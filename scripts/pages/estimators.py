"""A page for each estimator: its formula and facts from the class, its numbers from the reference results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dvae_bench.bench.check.case import Case
from dvae_bench.bench.report.numbers import MISSING, plain, with_interval
from dvae_bench.estimators.contract import Claim
from dvae_bench.estimators.names import Name, allowed
from dvae_bench.estimators.registry import ESTIMATORS, Plugin

from . import reference
from .reference import Line

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = {
    "discrete": "the gradient of E_q f(z)",
    "own-relaxed": "the gradient of its own relaxed objective E f(ζ), which differs from that of E_q f(z)",
    "bound": "the gradient of its own multi-sample bound",
    "other-law": "the gradient of E f(z) under a distribution of its own in place of q",
    "penalised": "the gradient of E_q f(z) + β KL(q || reference)",
    "none": "no gradient: f does not reach the parameters",
}


def pages() -> dict[str, str]:
    """The list of all estimators and a page for each, by file name below docs/."""
    plugins = sorted(ESTIMATORS.builtin.values(), key=lambda p: p.name)
    return {"estimators/index.md": _index(plugins)} | {f"estimators/{p.name}.md": _page(p) for p in plugins}


def _index(plugins: Sequence[Plugin]) -> str:
    parts = [
        f"# All estimators\n\n{len(plugins)} [estimators](../glossary.md#estimator), by family. The last column is the "
        "[claim](../glossary.md#claim-and-target), which `dvae-bench check` tests against exact gradients. Each page "
        "has the formula, the facts and the measurements. [Which one should I use?](../which-estimator.md) Generated "
        "by `make docs`.\n"
    ]
    for family in sorted({p.family for p in plugins}):
        members = [p for p in plugins if p.family == family]
        rows = [
            (f"[{p.name}]({p.name}.md)", p.facts["about"], ", ".join(p.facts["latents"]), _short(p)) for p in members
        ]
        title = family.replace("_", " ").capitalize()
        parts.append(f"## {title}\n\n{table(('estimator', 'what it is', 'latents', 'claim'), rows)}")
    return "\n".join(parts)


def _page(plugin: Plugin) -> str:
    facts, source = plugin.facts, plugin.path
    assert source is not None
    where = source.relative_to(ROOT).as_posix()
    lines = [
        f"# {plugin.name}\n",
        f"{facts['about']}\n",
        f"[All estimators](index.md), {plugin.family.replace('_', ' ')}; code: [`{where}`](../../{where})\n",
        f"## Formula\n\n$$\n{facts['formula']}\n$$\n\n```text\n{facts['doc']}\n```\n",
        "## Facts\n",
        f"* latents: {', '.join(facts['latents'])}",
        *(f"* estimates {claim}" for claim in _claims(plugin)),
        f"* cost: {facts['cost']}" + ("; differentiates f with respect to z" if facts.get("differentiates") else ""),
        f"* source: {facts['reference']}",
    ]
    lines += [f"* also called {', '.join(f'`{alias}`' for alias in facts['aliases'])}"] if facts.get("aliases") else []
    if facts.get("hyperparameters"):
        lines += ["\n## Parameters\n", parameters(plugin).rstrip()]
    return "\n".join(lines) + "\n" + _measured(plugin.name)


def claims(plugin: Plugin, name: Name) -> dict[str, Claim]:
    """The claim of an estimator for each kind of latent."""
    return {kind: Case(plugin, name, plugin.load(), kind).fresh().claim() for kind in plugin.facts["latents"]}


def _claims(plugin: Plugin) -> Iterator[str]:
    by_claim: dict[Claim, list[str]] = {}
    for kind, claim in claims(plugin, Name(plugin.name)).items():
        by_claim.setdefault(claim, []).append(kind)
    for claim, kinds in by_claim.items():
        yield _sentence(claim) + (f" ({', '.join(kinds)})" if len(by_claim) > 1 else "")


def _sentence(claim: Claim) -> str:
    words = [TARGETS[claim.target]]
    if claim.target != "none":
        words.append("without bias" if claim.unbiased else "up to a constant" if claim.proportional else "with a bias")
    if claim.exact_for:
        words.append(f"exact for {claim.exact_for}")
    if not claim.finite_variance:
        words.append("with a variance that may be infinite")
    if not claim.random:
        words.append("deterministic")
    return ", ".join(words)


def _short(plugin: Plugin) -> str:
    """The claim for discrete z, in a word or two."""
    found = {
        "unbiased"
        if c.unbiased and c.target in ("discrete", "penalised")
        else "up to a constant"
        if c.proportional
        else {"bound": "of a bound", "none": "none"}.get(c.target, "biased")
        for c in claims(plugin, Name(plugin.name)).values()
    }
    return " or ".join(sorted(found, reverse=True))


def _measured(name: str) -> str:
    parts = [_toys(name), _same_point(name), _training(name)]
    if not any(parts):
        return ""
    head = f"\n## Measured\n\nAt default parameters ([what the columns mean](../metrics.md)); {reference.machine()}.\n"
    return "\n".join([head, *filter(None, parts)])


def _toys(name: str) -> str:
    lines = reference.toys().query("estimator == @name").to_dict("records")
    if not lines:
        return ""
    columns = ("toy", "verdict", "relative bias", "variance", "evaluations", "differentiations", "µs per draw")
    rows = [
        (
            f"`{line['task']}`",
            line["verdict"],
            _bias(line),
            ends(line, "variance"),
            plain(line["evaluations"]),
            plain(line["differentiations"]),
            ends(line, "time"),
        )
        for line in lines
    ]
    return "The [logits gradient](../glossary.md#logits-gradient) against exact gradients:\n\n" + table(columns, rows)


def _bias(line: Line) -> str:
    return f"below {plain(line['sdb'])}" if line["verdict"] == "unbiased" else ends(line, "bias_rel")


def _same_point(name: str) -> str:
    lines = reference.basket().query("estimator == @name").to_dict("records")
    if not lines:
        return ""
    columns = ("VAE", "relative bias", "variance", "evaluations", "differentiations")
    rows = [
        (
            f"`{line['task']}`",
            ends(line, "bias_encoder"),
            ends(line, "var_encoder"),
            plain(line["evaluations"]),
            plain(line["differentiations"]),
        )
        for line in lines
    ]
    return (
        "The encoder's gradient on one minibatch, at the same parameters as all other estimators "
        "([how](../which-estimator.md)); the bias is measured against a long mean of an unbiased estimator:\n\n"
        + table(columns, rows)
    )


def _training(name: str) -> str:
    lines = reference.training().query("estimator == @name").to_dict("records")
    if not lines:
        return ""
    rows = [
        (f"`{line['task']}`", plain(line["steps"]), ends(line, "elbo_train"), ends(line, "ms_per_step"))
        for line in lines
    ]
    return "A few seconds of training, one seed:\n\n" + table(("VAE", "steps", "ELBO train", "ms per step"), rows)


def parameters(plugin: Plugin) -> str:
    """A table of the hyper-parameters."""
    rules: dict[str, dict[str, Any]] = dict(plugin.facts["hyperparameters"])
    rows = [(f"`{key}`", str(rule["default"]), allowed(rule), rule["about"]) for key, rule in rules.items()]
    return table(("parameter", "default", "allowed", "what it is"), rows)


def ends(line: Line, name: str) -> str:
    value = line.get(name)
    return MISSING if value is None or value != value else with_interval(value, line[f"{name}_lo"], line[f"{name}_hi"])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
