"""Collectors: each turns one source (gradient draws, training steps, clocks) into rows."""
