"""Pathwise estimators: z = g(φ, ε) is differentiated through f."""
