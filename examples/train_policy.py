"""A GRU learns to sort by policy gradients, in some seconds on one core: `python examples/train_policy.py [ESTIMATOR]`.

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


def prompts(count: int = BATCH) -> tuple[Tensor, Tensor]:
    """Digits, one-hot [count, length * digits], and the answers, one-hot [count, steps, tokens]."""
    digits = torch.randint(DIGITS, (count, LENGTH))
    answer = torch.cat([digits.sort(-1).values, torch.full((count, 1), DIGITS)], -1)
    return nn.functional.one_hot(digits, DIGITS).flatten(1).float(), nn.functional.one_hot(answer, TOKENS).float()


def policy(gru: Gru, digits: Tensor) -> Policy:
    return Policy(gru.encode(digits).tanh(), gru, STEPS, TOKENS)


def train(name: str, steps: int = 1000, every: int = 100, seed: int = 0) -> dict[int, float]:
    """Steps of Adam -> the share of right tokens in greedy answers to 500 prompts."""
    torch.manual_seed(seed)
    gru, test, right = Gru(), prompts(500), {}
    optimizer, method = torch.optim.Adam(gru.parameters(), 3e-3), estimator(name, policy(gru, test[0]).spec)
    for step in range(steps + 1):
        if step % every == 0:
            right[step] = float((policy(gru, test[0]).greedy * test[1]).sum((-1, -2)).mean() / STEPS)
            print(f"step {step:5}: {right[step]:.1%} of the tokens right", flush=True)
        digits, answer = prompts()
        loss = method(lambda z, answer=answer: -(z * answer).sum((-1, -2)) / STEPS, policy(gru, digits)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return right


if __name__ == "__main__":
    train(sys.argv[1] if len(sys.argv) > 1 else "rloo:n=4")
