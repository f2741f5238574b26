"""Splicing a value and a gradient that autograd cannot see; what estimators owe is in test_conformance.py."""

from __future__ import annotations

import pytest
import torch
from dvae_bench.estimators.contract import splice


def test_splice_refuses_a_gradient_of_another_shape() -> None:
    with pytest.raises(ValueError, match="grad has shape"):
        splice(torch.zeros(3), torch.zeros(3, 2), torch.zeros(3))


def test_splice_is_transparent_forward_and_weights_grad_backward() -> None:
    value, params = torch.tensor([1.0, 2.0], requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    grad = torch.arange(6.0).view(2, 3)
    (splice(value, params, grad) * torch.tensor([10.0, 100.0])).sum().backward()
    assert torch.equal(value.grad, torch.tensor([10.0, 100.0]))
    assert torch.equal(params.grad, grad * torch.tensor([[10.0], [100.0]]))
