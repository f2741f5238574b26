"""Gradient draws on toys, whose exact gradients are known."""
