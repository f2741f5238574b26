"""Advice on the user's own problem: measuring, racing and training on the caller's f, and claims of two estimators."""
