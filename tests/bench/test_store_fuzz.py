"""Parts cut short or with flipped bits: refused in one sentence, measured again, never used."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvae_bench.bench.compare import Run
from dvae_bench.bench.rows import row
from dvae_bench.bench.store import Store
from dvae_bench.estimators.names import UsageError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.full
WHO = {"estimator": "rloo", "task": "bit", "source": "draws", "device": "cpu", "seed": 0}
FIXTURE = HealthCheck.function_scoped_fixture


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One part, and the same content beside it for comparison."""
    store = Store(tmp_path)
    rows = [WHO | row(f"metric{k}", k / 7, k, blocks=[k / 3, k / 11]) for k in range(9)]
    store.write("a", "ok", {"settings": {"rows": 4000}, "seed": 0}, rows)
    (tmp_path / "whole").write_bytes((store.cells / "a.parquet").read_bytes())
    return store


def damage(store: Store, content: bytes) -> None:
    (store.cells / "a.parquet").write_bytes(content)


def refused(store: Store) -> bool:
    """Whether the part is refused by its name, in one sentence, and will be measured again."""
    with pytest.raises(UsageError) as error:
        store.rows()
    message = str(error.value)
    return "a.parquet is damaged and cannot be read; delete it and run again" in message and "\n" not in message


@settings(max_examples=1000, deadline=None, suppress_health_check=[FIXTURE])
@given(st.data())
def test_a_part_cut_short_is_refused(store: Store, data: st.DataObject) -> None:
    """About 10 s."""
    whole = (store.folder / "whole").read_bytes()
    damage(store, whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert refused(store) and store.status("a") is None and not store.finished("a")


def flipped(store: Store, data: st.DataObject) -> None:
    content = bytearray((store.folder / "whole").read_bytes())
    places = data.draw(st.sets(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=8))
    for place in places:
        content[place // 8] ^= 1 << place % 8
    damage(store, bytes(content))


@settings(max_examples=1000, deadline=None, suppress_health_check=[FIXTURE])
@given(st.data())
def test_flipped_bits_are_refused(store: Store, data: st.DataObject) -> None:
    """About 20 s."""
    flipped(store, data)
    assert refused(store) and store.status("a") is None and not store.finished("a")
    with pytest.raises(UsageError, match="is damaged"):
        Run(store).read(store.cells / "a.parquet")
