"""Numbers as text, with the digits their interval supports."""

from __future__ import annotations

import math

MISSING = "–"
_INTERVAL_DIGITS = 2
_MOST_DIGITS = 5
_LEAST = -300


def plain(value: float) -> str:
    """A number without an interval: three significant digits, and every digit of a whole number."""
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else str(value)
    if value == round(value) and abs(value) < 1e7:
        return f"{value:.0f}"
    return _fixed([value], 2 - _exponent(value))[0]


def with_interval(value: float, lo: float, hi: float, form: str = "{} [{}, {}]") -> str:
    """Value and interval in `form`, to two digits of the narrower half-width; without an interval, the value alone."""
    widths = [width for width in (value - lo, hi - value) if 1e-9 * abs(value) < width < math.inf]
    if not widths or not all(map(math.isfinite, (value, lo, hi))):
        return plain(value)
    supported = _INTERVAL_DIGITS - 1 - _exponent(min(widths))
    useful = _MOST_DIGITS - 1 - _exponent(max(map(abs, (value, lo, hi))))
    return form.format(*_fixed([value, lo, hi], min(supported, useful)))


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _fixed(values: list[float], decimals: int) -> list[str]:
    """All with the same decimals, and with a power of ten where they are very large or small."""
    exponent = _exponent(max(values, key=abs))
    if -3 <= exponent < 5:
        return [f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}" for value in values]
    places = max(decimals + exponent, 0)
    first = max(exponent, _LEAST)  # 10.0**exponent is 0 for the smallest numbers
    scaled = [value / 10.0**first / 10.0 ** (exponent - first) for value in values]
    return [f"{round(value, places) + 0.0:.{places}f}e{exponent:+03d}" for value in scaled]
