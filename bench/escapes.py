"""Text that may come from anyone, made safe to show: one function per format, and no other escape anywhere.

Names, reasons and settings in a results folder can hold commands for a terminal, LaTeX, Markdown, a spreadsheet, or
more lines than a figure has room for. The page is escaped by its templates.
"""

from __future__ import annotations

import functools
import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # with bidi marks
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LATEX = re.compile(r"[\\~^] ?|[&%$#_{}]|\A[\[*]")
_LATEX_WORDS = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum"}
_SYMBOLS = {"≤": "le", "≥": "ge", "≠": "ne", "≈": "approx", "∈": "in", "∇": "nabla", "∞": "infty", "→": "to"}
_SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma tau upsilon"
_GREEK = dict(zip(map(chr, range(0x3B1, 0x3CA)), f"{_SMALL} phi chi psi omega".split(), strict=True))
_GREEK |= {small.upper(): _GREEK[small].capitalize() for small in "γδθλξπσυφψω"}
_MATHS = {letter: f"\\ensuremath{{\\{name}}}" for letter, name in (_SYMBOLS | _GREEK).items()} | {"ο": "o"}
_MARKDOWN = re.compile(
    r"[|`*~$]"
    r"|<(?=[A-Za-z/!?])"  # a tag
    r"|&(?=#?\w+;)"  # an entity
    r"|(?<=\])[(\[:]"  # a link; brackets alone are intervals
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis, which begins and ends at the edge of a word
    r"|\\(?=[!-/:-@\[-`{-~])"  # an escape
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def terminal(text: str) -> str:
    """Text with "?" for control characters, such as those of escape sequences, except line feeds and tabs."""
    return _CONTROLS.sub("?", text.replace("\r\n", "\n"))


def latex(text: str) -> str:
    """Text on one line as LaTeX sets it, Greek in mathematics, with "?" for characters that need further packages.

    A leading "[" or "*" is put in braces, because a line of a table that begins with one is an option of the last.
    """
    return "".join(_MATHS.get(letter, letter) for letter in _LATEX.sub(_latex, typesettable(text)))


@functools.lru_cache(2**14)
def typesettable(text: str) -> str:
    """Text on one line with "?" for characters that LaTeX cannot set without further packages; not yet escaped."""
    return "".join(x if ord(x) < 256 or x in "–—‘’“”…" or x in _MATHS else "?" for x in _line(text))


def _latex(found: re.Match[str]) -> str:
    letter = found[0][0]
    if letter in _LATEX_WORDS:
        return f"\\{_LATEX_WORDS[letter]}" + ("\\space " if found[0].endswith(" ") else " ")
    return f"{{{letter}}}" if letter in "[*" else f"\\{letter}"


def markdown(text: str) -> str:
    """Text on one line that Markdown shows as it is; also within a cell of a table."""
    return _MARKDOWN.sub(r"\\\g<0>", _line(text))


def csv(text: str) -> str:
    """Text that no spreadsheet takes for a formula, and that ends no line of the file."""
    return ("'" if text.startswith(_FORMULA) else "") + text.replace("\r\n", "\n").replace("\r", "\n")


def xml(text: str) -> str:
    """Text with "?" for the characters that XML cannot hold; ElementTree escapes the others."""
    return _NO_XML.sub("?", text)


def figure(text: str) -> str:
    """Text on one line for a figure, whose style takes no text for a formula."""
    return _line(text)


def _line(text: str) -> str:
    return re.sub("[\t\n]", " ", terminal(text))
