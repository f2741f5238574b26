"""A training step of a GRU policy, by `rloo:n=4`, over hand-written ones that give the same loss and gradients."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from dvae_bench import estimator
from pairing import paired_ratio
from torch import Tensor, nn

N, LIMIT = 4, 1.2
EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "train_policy.py"))
STEPS, TOKENS = EXAMPLE["STEPS"], EXAMPLE["TOKENS"]


def drawn(gru: nn.Module, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens z [n, batch, T, K] by Gumbel noise, and log q of each, 0 after the end, [n, batch, T]."""
    state, before = first.expand(N, *first.shape), torch.zeros_like(noise[:, :, 0])
    alive, z, log_q = torch.ones_like(before[..., :1]), [], []
    for t in range(STEPS):
        logits, state = gru(before, state)
        token = (logits + noise[:, :, t]).argmax(-1)
        before = nn.functional.one_hot(token, TOKENS) * alive
        z.append(before)
        log_q.append((logits.log_softmax(-1) * before).sum(-1))
        alive = alive * (1 - before[..., -1:])
    return torch.stack(z, -2), torch.stack(log_q, -1)


def read(gru: nn.Module, first: Tensor, z: Tensor) -> Tensor:
    """log q of the tokens of z, by a pass of its own, as after a sampler that keeps no graph."""
    state, before, log_q = first.expand(N, *first.shape), torch.zeros_like(z[..., 0, :]), []
    for token in z.unbind(-2):
        logits, state = gru(before, state)
        log_q.append((logits.log_softmax(-1) * token).sum(-1))
        before = token
    return torch.stack(log_q, -1)


@pytest.mark.parametrize("passes", [2, 1])
def test_step_over_a_hand_written_one(benchmark: Callable, passes: int) -> None:
    """passes: of the network, two where the draws keep no graph, as ours; one where log q is kept from the draws."""
    torch.manual_seed(0)
    gru, (digits, answer) = EXAMPLE["Gru"](), EXAMPLE["prompts"]()
    optimizer, generator = torch.optim.Adam(gru.parameters(), 3e-3), torch.Generator()
    rloo = estimator(f"rloo:n={N}", EXAMPLE["policy"](gru, digits).spec)

    def f(z: Tensor) -> Tensor:
        return -(z * answer).sum((-1, -2)) / STEPS

    def stepped(loss: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        return loss.detach()

    def ours() -> Tensor:
        return stepped(rloo(f, EXAMPLE["policy"](gru, digits), generator))

    def by_hand() -> Tensor:
        first = gru.encode(digits).tanh()
        uniform = torch.rand(N, len(digits), STEPS, TOKENS, generator=generator).clamp_min_(2.0**-25)
        noise = uniform.log_().neg_().log_().neg_()
        if passes == 2:
            with torch.no_grad():
                z, _ = drawn(gru, first, noise)
            log_q = read(gru, first, z)
        else:
            z, log_q = drawn(gru, first, noise)
        value = f(z)
        advantage = (value - value.mean(0)) / (N - 1)
        surrogate = (advantage.unsqueeze(-1) * log_q).sum((0, -1))
        return stepped(value.mean(0) + surrogate - surrogate.detach())

    found, start = [], {key: tensor.clone() for key, tensor in gru.state_dict().items()}
    for step in (ours, by_hand):
        gru.load_state_dict(start)
        optimizer.state.clear()
        generator.manual_seed(1)
        found.append([step(), *(parameter.grad.clone() for parameter in gru.parameters())])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
    ratio = paired_ratio(ours, by_hand)
    benchmark.extra_info["over_hand_written"], benchmark.extra_info["limit"] = asdict(ratio), LIMIT
    benchmark.pedantic(ours, rounds=6, iterations=1)
