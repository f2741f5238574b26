"""Continuous relaxations: f is differentiated at a relaxed sample."""
