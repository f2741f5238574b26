"""Measuring estimators: the plan of cells, the runner, the store, sources, collectors, statistics and reports."""

if not __name__.startswith("dvae_bench."):
    raise ImportError("this folder is the package dvae_bench.bench: install the project and import it by that name")
