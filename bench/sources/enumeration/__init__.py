"""Moments of gradient draws with z enumerated, on toys."""
