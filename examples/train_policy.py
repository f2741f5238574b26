"""A GRU that learns to sort by policy gradients: `python examples/train_policy.py [ESTIMATOR]`, a minute on one core.

A prompt is four digits out of five, the answer the digits in order and then the end token. The reward is the share of
answered tokens that are right, at their own place.
"""

from __future__ import annotations

import sys

import torch
from dvae_bench import Policy, estimator
from torch import Tensor, nn

DIGITS, LENGTH, WIDTH, BATCH = 5, 4, 64, 64
STEPS, TOKENS = LENGTH + 1, DIGITS + 1


class Gru(nn.Module):
    """The logits of the next token, from the token before and the state."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.cell = nn.Linear(LENGTH * DIGITS, WIDTH), nn.GRUCell(TOKENS, WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS)

    def forward(self, before: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """before [*, tokens], state [*, width] -> logits [*, tokens], state [*, width]."""
        state = self.cell(before.flatten(0, -2), state.flatten(0, -2)).unflatten(0, state.shape[:-1])
        return self.head(state), state


def prompts() -> tuple[Tensor, Tensor]:
    """Digits, one-hot [batch, length * digits], and the answers, one-hot [batch, steps, tokens]."""
    digits = torch.randint(DIGITS, (BATCH, LENGTH))
    answer = torch.cat([digits.sort(-1).values, torch.full((BATCH, 1), DIGITS)], -1)
    return nn.functional.one_hot(digits, DIGITS).flatten(1).float(), nn.functional.one_hot(answer, TOKENS).float()


def train(name: str, steps: int = 2000, report: int = 200) -> float:
    """The share of right tokens of greedy answers to 64 new prompts, after so many steps of Adam."""
    torch.manual_seed(0)
    gru, found = Gru(), 0.0
    method, optimizer = None, torch.optim.Adam(gru.parameters(), 3e-3)
    for step in range(steps + 1):
        digits, answer = prompts()
        policy = Policy(gru.encode(digits).tanh(), gru, STEPS, TOKENS)
        if step % report == 0 or step == steps:
            found = float((policy.greedy * answer).sum((-1, -2)).mean() / STEPS)
            print(f"step {step:5}: {found:.1%} of the tokens right", flush=True)
        method = method or estimator(name, policy.spec)
        loss = method(lambda z, answer=answer: -(z * answer).sum((-1, -2)) / STEPS, policy).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


if __name__ == "__main__":
    train(sys.argv[1] if len(sys.argv) > 1 else "rloo:n=4")
