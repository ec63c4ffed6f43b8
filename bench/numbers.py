"""How numbers read: `4.2293e6` as `4.2293·10⁶`, a mean and its spread under one exponent.

A number is split once into mantissa and exponent; plain text and LaTeX are two spellings of the same parts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"


@dataclass(frozen=True)
class Number:
    """A printed number: `mantissa` times ten to `exponent` (None: no power is written), ± `spread`."""

    mantissa: str
    exponent: int | None = None
    spread: str = ""

    def text(self) -> str:
        """In Unicode, for Markdown, HTML and figures: `(4.23 ± 0.05)·10⁶`."""
        body = f"{self.mantissa} ± {self.spread}" if self.spread else self.mantissa
        body = body.replace("-", MINUS)
        if self.exponent is None:
            return body
        power = f"10{superscript(self.exponent)}"
        return f"({body})·{power}" if self.spread else f"{body}·{power}"

    def latex(self) -> str:
        """In LaTeX mathematics: `$(4.23 \\pm 0.05)\\cdot10^{6}$`."""
        body = rf"{self.mantissa} \pm {self.spread}" if self.spread else self.mantissa
        body = body.replace("inf", r"\infty")
        if self.exponent is None:
            return f"${body}$"
        return rf"$({body})\cdot10^{{{self.exponent}}}$" if self.spread else rf"${body}\cdot10^{{{self.exponent}}}$"


def superscript(exponent: int) -> str:
    """An exponent in raised digits."""
    return str(exponent).translate(_SUPERSCRIPT)


def number(value: float, spec: str = ".4g", spread: float | None = None) -> Number:
    """`value` in the Python format `spec`, with `spread` (a standard deviation, same unit) beside it.

    A format that ends in `g` keeps its trailing zeros, so that a column shows as many digits in every row; whole
    numbers are left whole. What a format rounds to nothing is `0.00`, never `−0.00`.
    The spread is printed to the last digit that the value shows, or to two digits of its own where it would vanish.
    """
    if math.isinf(value) or math.isnan(value):
        return Number({math.inf: "∞", -math.inf: "-∞"}.get(value, "not a number"))
    zeros = spec.endswith("g") and "#" not in spec and not (value == int(value) and abs(value) < 1e4 and not spread)
    # z: what was rounded to nothing has no sign
    spec = re.sub("^((?:.?[<>=^])?[-+ ]?)z?", rf"\1z{'#' if zeros else ''}", spec)
    match = re.fullmatch(r"(?P<m>[^e]+)e(?P<e>[+-]\d+)", format(value, spec))
    if match is None:
        mantissa = format(value, spec).rstrip(".") if "." in spec else format(value, spec)
        return Number(mantissa, None, "" if spread is None else _spread(spread, mantissa))
    exponent, mantissa = int(match["e"]), match["m"].rstrip(".")
    return Number(mantissa, exponent, "" if spread is None else _spread(spread / 10.0**exponent, mantissa))


def _spread(spread: float, beside: str) -> str:
    if not spread:
        return "0"
    decimals = len(beside.partition(".")[2].rstrip("%"))
    shown = f"{spread:.{decimals}f}"
    if not float(shown):
        return f"{spread:.1g}"
    return shown


def printed(value: float) -> Number:
    """A published value with exactly the digits it was given: 4229300.0 -> 4.2293·10⁶, 0.01 -> 0.01, 6 -> 6."""
    if value == 0 or math.isinf(value) or math.isnan(value) or 1e-4 <= abs(value) < 1e5:
        return Number(format(value, "z.12g"))
    mantissa, _, exponent = f"{value:.11e}".partition("e")
    return Number(mantissa.rstrip("0").rstrip("."), int(exponent))


def short(value: float, digits: int = 3) -> str:
    """A number for a sentence: three digits, with a power of ten where it would be long."""
    if value and not math.isinf(value) and not math.isnan(value) and 10 ** (digits - 1) <= abs(value) < 1e5:
        return f"{value:.0f}".replace("-", MINUS)
    text = format(value, f"z.{digits}g")
    mantissa, _, exponent = text.partition("e")
    return Number({"inf": "∞", "-inf": "-∞"}.get(mantissa, mantissa), int(exponent) if exponent else None).text()


def times(value: float) -> str:
    """A factor: `×1.37`, `×12`, `×4.1·10³`, `×∞`."""
    return f"×{short(value)}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `42 s`, `7 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1g} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def counted(n: int, one: str, many: str = "") -> str:
    """`1 seed`, `3 seeds`."""
    return f"{n} {one if n == 1 else many or one + 's'}"
