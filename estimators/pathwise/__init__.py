"""Gradients through the sample: z = g(φ, ε) with ε of a fixed law."""
