"""Pyro's ELBOs, unmodified.

    dvae-bench run --plugin examples/peers/pyro_peers.py -e 'pyro-*' -t bit-table:d=3

E_q f becomes an ELBO: the guide draws z from q, the model draws it from a detached q, so that log p - log q is 0, and
adds the factor -f. Pyro sums its loss over a plate, so it is divided by the plate's size.
"""

import pyro
import torch
from dvae_bench import Surrogate
from pyro.distributions import Bernoulli, OneHotCategorical
from pyro.infer import TraceEnum_ELBO, TraceGraph_ELBO


class Pyro(Surrogate):
    """Abstract: one site per bit or category of z, in one plate of replicates; `loss` returns (loss, value)."""

    infer = {}

    def fn(self, f, logits):
        event, batch = self.spec.event_shape, logits.shape[: -len(self.spec.event_shape)]
        rows = logits.reshape(-1, *event)
        family = Bernoulli if self.spec.kind == "bernoulli" else OneHotCategorical

        def sites(logits):
            return [pyro.sample(f"z{d}", family(logits=logits[:, d]), infer=self.infer) for d in range(event[0])]

        def guide():
            with pyro.plate("rows", len(rows), dim=-1):
                sites(rows)

        def model():
            with pyro.plate("rows", len(rows), dim=-1):
                z = torch.stack(torch.broadcast_tensors(*sites(rows.detach())), -len(event))
                shape = z.shape[: -len(event)]
                f_z = f(z.expand(*shape[:-1], len(rows), *event).reshape(-1, *batch, *event))
                pyro.factor("f", -f_z.reshape(*shape[:-1], len(rows)))

        loss, value = self.loss(model, guide)
        return loss / len(rows), value / len(rows)


class PyroTracegraph(Pyro):
    """TraceGraph_ELBO without a baseline: REINFORCE."""

    name = "pyro-tracegraph"
    latents = ("bernoulli", "categorical")
    cost = "1 evaluation"
    reference = "Bingham et al. 2019, Pyro: deep universal probabilistic programming"

    def loss(self, model, guide):
        value, loss = TraceGraph_ELBO(max_plate_nesting=1)._loss_and_surrogate_loss(model, guide, (), {})
        return loss, -value


class PyroEnum(Pyro):
    """TraceEnum_ELBO with every site enumerated: exact."""

    name = "pyro-enum"
    latents = ("bernoulli", "categorical")
    cost = "K**D evaluations"
    reference = "Bingham et al. 2019, Pyro: deep universal probabilistic programming"
    infer = {"enumerate": "parallel"}

    def loss(self, model, guide):
        loss = TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(model, guide)
        return loss, loss
