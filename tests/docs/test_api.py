"""The API reference has every public name, and the tutorials link to those that they use."""

from __future__ import annotations

import re

import dvae_bench
import pytest
from documents import DOCS
from pages import api

PUBLIC = [name for name in dvae_bench.__all__ if name != "__version__"]
TEXT = (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_its_signature_and_its_docstring(name: str) -> None:
    (entry,) = re.findall(
        rf"^### {re.escape(api.heading(name))}\n\n```text\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE
    )
    head, doc, *_ = entry.split("\n\n")
    assert re.match(rf"(class )?{name}\b", head)
    assert doc.startswith("    ") and doc.strip(), "no docstring"


def test_signatures_are_those_of_the_code() -> None:
    assert api.signature("splice", dvae_bench.splice) == (
        "splice(value: Tensor, params: Tensor, grad: Tensor, *, twice: bool = False) -> Tensor"
    )
    assert "\n    *,\n    unit: str = ''," in api.signature("row", dvae_bench.row)
    assert api.signature("load", dvae_bench.load) == "load(folder: str | Path) -> Results"


def test_a_name_without_a_group_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvae_bench, "__all__", [*dvae_bench.__all__, "new_name"])
    with pytest.raises(ValueError, match=r"dvae_bench.__all__ differ in new_name"):
        api.page()


def test_every_link_has_its_heading_and_no_two_names_share_one() -> None:
    headings = [title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)]
    assert len(set(headings)) == len(headings)
    for page in (DOCS / "tutorials").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        used = {each for names in re.findall(r"from dvae_bench import (.+)", text) for each in names.split(", ")}
        used |= set(re.findall(r"dvae_bench\.([a-z]\w+)\(", text))
        linked = dict(re.findall(r"\[`(\w+)`\]\(\.\./api\.md#([\w-]+)\)", text))
        assert used and used <= set(linked), page.name
        assert set(linked.values()) <= set(headings), page.name
