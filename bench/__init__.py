"""Runs and measures: the plan of cells, the runner, the store, clocks, moments, statistics, collectors, reports."""

if not __name__.startswith("dvae_bench."):
    raise ImportError("this folder is the package dvae_bench.bench: install the project and import that name")
