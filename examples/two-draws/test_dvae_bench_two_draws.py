"""two-draws keeps the contract of dvae-bench and its own claim."""

from dvae_bench import check


def test_it_is_installed_and_conforms():
    results = list(check(["two-draws"]))
    assert results
    assert [str(result) for result in results if result.failed] == []
