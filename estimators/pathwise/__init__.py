"""Pathwise gradients: z = g(φ, ε), ε of a fixed law, is differentiated through f."""
