"""Time of another package's training step over ours, in one process: `peer_steps.py PEER OURS THEIRS ARCH [PAIRS]`.

Both have the same estimator, network, minibatch, one thread and fused Adam. The parameters of Storchastic's methods
have an Adam of their own, as ours have; Pyro samples its KL. Prints the ratio of their time to ours as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

import torch
from dvae_bench import estimator
from dvae_bench.bench.sources.streams import stream
from dvae_bench.bench.sources.timing.clock import steady_host
from dvae_bench.bench.sources.training.step import TrainStep
from dvae_bench.tasks.vae.mnist_vae import MnistVae
from dvae_bench.tasks.vae.model import Vae
from pairing import LEAST, paired_ratio
from torch import Tensor
from torch.distributions import Bernoulli, OneHotCategorical, kl_divergence

PAIRS = [
    ("storchastic", "reinforce", "reinforce", "nonlinear"),
    ("storchastic", "reinforce-ema", "reinforce-ema", "nonlinear"),
    ("storchastic", "rloo", "loo", "nonlinear"),
    ("storchastic", "rebar", "rebar", "nonlinear"),
    ("storchastic", "relax-network", "relax", "nonlinear"),
    ("storchastic", "arm", "arm", "nonlinear"),
    ("storchastic", "disarm", "disarm", "nonlinear"),
    ("storchastic", "gumbel-softmax", "gumbel-softmax", "nonlinear"),
    ("storchastic", "st-gumbel-softmax", "st-gumbel-softmax", "nonlinear"),
    ("storchastic", "unordered-set:k=2", "unordered-set", "categorical"),
    ("storchastic", "sum-and-sample:k=2", "rao-blackwell", "categorical"),
    ("pyro-ppl", "reinforce", "reinforce", "nonlinear"),
    ("pyro-ppl", "reinforce-ema", "reinforce-ema", "nonlinear"),
    ("pyro-ppl", "gumbel-softmax", "gumbel-softmax", "nonlinear"),
    ("pyro-ppl", "st-gumbel-softmax", "st-gumbel-softmax", "nonlinear"),
]


def storch_step(task: MnistVae, x: Tensor, theirs: str) -> tuple[Callable[[], None], Vae]:
    import storch
    import storch.method as methods

    size = task.spec.event_shape
    method = {
        "reinforce": lambda: methods.ScoreFunction("z"),
        "reinforce-ema": lambda: methods.ScoreFunction("z", baseline_factory="moving_average"),
        "loo": lambda: methods.ScoreFunction("z", n_samples=2, baseline_factory="batch_average"),
        "rebar": lambda: methods.REBAR("z"),
        "relax": lambda: methods.RELAX("z", in_dim=size),
        "arm": lambda: methods.ARM("z"),
        "disarm": lambda: methods.DisARM("z"),
        "gumbel-softmax": lambda: methods.GumbelSoftmax("z", initial_temperature=0.5),
        "st-gumbel-softmax": lambda: methods.GumbelSoftmax("z", straight_through=True, initial_temperature=0.5),
        "unordered-set": lambda: methods.UnorderedSetEstimator("z", k=2),
        "rao-blackwell": lambda: methods.RaoBlackwellSF("z", 2),
    }[theirs]()
    vae = task.model(0)
    optimizers = [task.make_optimizer(vae)]
    if list(method.parameters()):
        optimizers.append(torch.optim.Adam(method.parameters(), 1e-3))
    bits = task.spec.kind == "bernoulli"

    @storch.deterministic
    def reconstruction(z: Tensor, x: Tensor) -> Tensor:
        x = x if bits else x.squeeze(-1)
        logits = vae.decoder(z if bits else z.flatten(-2))
        cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return cross_entropy(logits, x.expand_as(logits), reduction="none").sum(-1)

    def step() -> None:
        logits = storch.denote_independent(vae.encode(x), 0, "data")
        images = storch.denote_independent(x, 0, "data")
        if bits:
            q, prior = Bernoulli(logits=logits), Bernoulli(logits=torch.zeros_like(logits))
        else:
            probs = logits.softmax(-1)
            q, prior = OneHotCategorical(probs=probs), OneHotCategorical(probs=torch.ones_like(probs) / size[1])
        kl = kl_divergence(q, prior).sum(-1)
        z = method(q)
        cost = reconstruction(z.float() if z.dtype == torch.bool else z, images)
        for optimizer in optimizers:
            optimizer.zero_grad()
        if theirs == "arm":
            storch.add_cost(cost + kl, "elbo")
        else:
            storch.add_cost(kl, "kl")
            storch.add_cost(cost, "reconstruction")
        storch.backward()
        for optimizer in optimizers:
            optimizer.step()

    return step, vae


def pyro_step(task: MnistVae, x: Tensor, theirs: str) -> tuple[Callable[[], None], Vae]:
    import pyro
    import pyro.distributions as dist
    from pyro.infer import Trace_ELBO, TraceGraph_ELBO

    vae = task.model(0)
    optimizer, temperature = task.make_optimizer(vae), torch.tensor(0.5)
    pathwise = {
        "gumbel-softmax": dist.RelaxedBernoulli,
        "st-gumbel-softmax": dist.RelaxedBernoulliStraightThrough,
    }
    loss = Trace_ELBO(max_plate_nesting=1) if theirs in pathwise else TraceGraph_ELBO(max_plate_nesting=1)
    infer = {}
    if theirs == "reinforce-ema":
        infer = {"baseline": {"use_decaying_avg_baseline": True, "baseline_beta": 0.95}}

    def latent(logits: Tensor) -> dist.TorchDistribution:
        q = pathwise[theirs](temperature, logits=logits) if theirs in pathwise else dist.Bernoulli(logits=logits)
        return q.to_event(1)

    def model() -> None:
        pyro.module("decoder", vae.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", latent(torch.zeros(len(x), *task.spec.event_shape)))
            pyro.sample("x", dist.Bernoulli(logits=vae.decoder(z)).to_event(1), obs=x)

    def guide() -> None:
        pyro.module("encoder", vae.encoder)
        with pyro.plate("data", len(x)):
            pyro.sample("z", latent(vae.encode(x)), infer=infer)

    def step() -> None:
        optimizer.zero_grad()
        loss.loss_and_grads(model, guide)
        optimizer.step()

    return step, vae


def main(peer: str, ours: str, theirs: str, arch: str, pairs: str = str(LEAST)) -> None:
    steady_host(threads=1)
    task = MnistVae(arch=arch)
    x = next(task.batches(stream(0, "data")))
    make = {"storchastic": storch_step, "pyro-ppl": pyro_step}[peer]
    theirs_step, vae = make(task, x, theirs)
    ours_step = TrainStep(task, estimator(ours, task.spec), seed=0)
    ratio = paired_ratio(theirs_step, lambda: ours_step(x), int(pairs))
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in vae.parameters())
    print(json.dumps(asdict(ratio)))


if __name__ == "__main__":
    main(*sys.argv[1:])
