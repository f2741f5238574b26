"""The import package `dvae_bench` is this folder; every folder in it with an `__init__.py` is one of its packages."""

from setuptools import find_packages, setup

setup(
    packages=["dvae_bench", *(f"dvae_bench.{name}" for name in find_packages())],
    script_name="setup.py",  # which setuptools then leaves out of the package, whatever program runs this
)
