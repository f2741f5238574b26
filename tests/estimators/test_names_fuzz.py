"""Any name, printed, reads back as itself; malformed names are in tests/faults/test_grammar.py."""

from __future__ import annotations

import pytest
from dvae_bench.estimators.names import Name
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.full
WORDS = st.text("abcxyz-._", min_size=1, max_size=6)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=5000, deadline=None)
@given(WORDS, st.dictionaries(WORDS, NUMBERS | WORDS, max_size=4))
def test_a_name_reads_back_as_itself(family: str, values: dict[str, object]) -> None:
    """About 10 s."""
    name = Name(family, tuple(sorted(values.items())))
    again = Name.parse(str(name))
    assert (again.family, again.values.keys()) == (family, values.keys())
    assert str(again) == str(Name.parse(str(again)))
    for key, value in values.items():
        if not isinstance(value, str):
            assert again.values[key] == value and type(again.values[key]) is type(value)
