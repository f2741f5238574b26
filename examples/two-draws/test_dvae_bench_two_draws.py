"""two-draws keeps the contract of dvae-bench and its own claim."""

from dvae_bench.bench.check import check
from dvae_bench.estimators.registry import ESTIMATORS


def test_it_is_installed_and_conforms():
    results = list(check(ESTIMATORS.select(["two-draws"])))
    assert results
    assert [str(result) for result in results if result.failed] == []
