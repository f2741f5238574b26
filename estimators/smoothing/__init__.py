"""Smoothing transformations of bits: continuous ζ in place of z, a function of p and of a uniform."""
