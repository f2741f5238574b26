"""Straight-through estimators: a hard sample forward, a surrogate Jacobian backward."""
