"""The tasks on which estimators are measured: toys with exact gradients, and VAEs on MNIST."""

if not __name__.startswith("dvae_bench."):
    raise ImportError("this folder is the package dvae_bench.tasks: install the project and import that name")
