"""A section of docs/published.md: our trainings of 500 epochs beside the published losses of the same epochs."""

from __future__ import annotations

import pandas as pd
from dvae_bench.bench import protocols
from dvae_bench.bench.protocols.protocol import Method
from dvae_bench.bench.report.numbers import MISSING
from dvae_bench.bench.store.store import Store
from dvae_bench.estimators.registry import ESTIMATORS

from .estimators import table
from .reference import FOLDER

RUN = FOLDER / "hooper-n8-k64-full"
OF_EPOCH = r"mean training loss of epoch (\d+)$"
SECTION = """
## Along the way

{answer}

Settings of `hooper-2026-mnist` with n=8 and K=64, all 500 epochs, each method at the best rate in the authors' files.
Theirs is the mean loss of an epoch's minibatches while it trains, with the standard deviation of five seeds, and so not
quite the number of the table above, which is -ELBO after the last epoch. Ours is -ELBO of the training images after
that epoch, of one seed: in the first epochs, where the loss falls by nats in each, lower partly for that reason.
([The run](../results/reference/hooper-n8-k64-full).)

"""


def points(published: pd.DataFrame) -> pd.DataFrame:
    """Those of the published numbers that a stored training has reached, with columns for epoch and ours."""
    protocol = protocols.load(str(RUN / "hooper-n8-k64-full.toml"))
    rows = Store.open(RUN).rows()
    losses = rows[rows["metric"] == protocol.metric.removeprefix("-")]
    steps = protocol.length // protocol.epochs
    (setting,) = protocol.settings
    ours = pd.DataFrame(
        [
            (method.method, f"{setting}, lr={method.values.get('lr', protocol.values['lr']):g}", step // steps, -value)
            for method in protocol.methods
            for step, value in losses.loc[losses["estimator"] == _stored(method), ["step", "value"]].to_numpy()
        ],
        columns=["method", "setting", "epoch", "ours"],
    )
    theirs = published[published["paper"] == "Hooper & Shekhovtsov 2026"]
    theirs = theirs.assign(epoch=theirs["table"].str.extract(OF_EPOCH, expand=False)).dropna(subset="epoch")
    theirs = theirs.astype({"epoch": int}).reset_index(names="line")
    return theirs.merge(ours, on=["method", "setting", "epoch"]).set_index("line")


def _stored(method: Method) -> str:
    """The name of its estimator in the rows."""
    (name,) = ESTIMATORS.select([method.estimator])
    return str(name)


def section(found: pd.DataFrame) -> str:
    """The section, from `points`."""
    epochs = sorted(found["epoch"].unique())
    last = found[found["epoch"] == epochs[-1]].sort_values("ours")
    ends = [f"{each.method} {each.ours:.2f} (theirs {each.theirs})" for each in last.itertuples()]
    answer = f"**Ours after {epochs[-1]} epochs: {', '.join(ends)}.**"
    rows = []
    for method, each in found.groupby("method"):
        by_epoch = each.set_index("epoch")
        rows.append((method, "theirs", *(by_epoch["theirs"].get(epoch, MISSING) for epoch in epochs)))
        ours = by_epoch["ours"].map("{:.2f}".format)
        rows.append(("", "ours", *(ours.get(epoch, MISSING) for epoch in epochs)))
    return SECTION.format(answer=answer) + table(("method", "epoch", *map(str, epochs)), rows)
