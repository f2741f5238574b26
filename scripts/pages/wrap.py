"""Wraps the prose of Markdown pages at 100 columns; leaves tables, code, formulas, headings and comments alone."""

from __future__ import annotations

import re
import textwrap

COLUMNS = 100
_MARKER = r"(?:[*+-]|\d+\.)[ ]+"
_BLOCK = re.compile(
    rf"""
    ^\ *(?P<fence>```|\$\$).*\n(?:.*\n)*?\ *(?P=fence)\ *$
    | ^(?P<first>\ *(?:{_MARKER})?)(?P<prose>[^\s|<\#].*(?:\n(?!\ *(?:{_MARKER}|[|<\#]|```|\$\$|$)).+)*)
    """,
    re.MULTILINE | re.VERBOSE,
)
_UNBREAKABLE = re.compile(r"`[^`]+`| (?=(?:[^\w\s`*\[\](]+|\d+[.)])(?:\s|$)|[|<#])")
"""Code, and the space before a character that has a meaning at the start of a line: a dash, a number, a bar, ..."""


def wrapped(text: str) -> str:
    """The page with every paragraph and list item refilled that has a longer line and a space to break it at."""
    return _BLOCK.sub(_filled, text)


def _filled(block: re.Match[str]) -> str:
    first, prose = block["first"], block["prose"]
    if block["fence"] or all(len(line) <= COLUMNS for line in block[0].split("\n")):
        return block[0]
    joined = _UNBREAKABLE.sub(lambda found: found[0].replace(" ", "\0"), " ".join(prose.split()))
    filled = textwrap.fill(
        joined,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace("\0", " ")
