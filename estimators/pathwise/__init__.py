"""Pathwise gradients: f(g(φ, ε)) is differentiated in φ, with ε from a fixed distribution."""
