"""How numbers read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.numbers import duration, number, printed, short, times
from retable.bench.report.latex import escape


@pytest.mark.parametrize(
    ("value", "spread", "text", "latex"),
    [
        (4.2293e6, None, "4.229·10⁶", r"$4.229\cdot10^{6}$"),
        (3.61e7, None, "3.610·10⁷", r"$3.610\cdot10^{7}$"),
        (3.61e7, 2e5, "(3.610 ± 0.020)·10⁷", r"$(3.610 \pm 0.020)\cdot10^{7}$"),
        (0.269512, 0.0037, "0.2695 ± 0.0037", r"$0.2695 \pm 0.0037$"),
        (1e-7, 0.0, "(1.000 ± 0)·10⁻⁷", r"$(1.000 \pm 0)\cdot10^{-7}$"),
        (12.0, None, "12", "$12$"),
        (-0.5, None, "−0.5000", "$-0.5000$"),
        (math.inf, None, "∞", r"$∞$"),
    ],
)
def test_our_values_keep_the_digits_of_their_format(value: float, spread: float | None, text: str, latex: str) -> None:
    assert number(value, ".4g", spread).text() == text
    if math.isfinite(value):
        assert number(value, ".4g", spread).latex() == latex


@pytest.mark.parametrize("spec", [".4g", ".2f", "+.1f", "z.2f", ".1%", ".3e", ">8.1f", "+.3g"])
def test_what_is_rounded_to_nothing_has_no_sign(spec: str) -> None:
    assert number(-0.0, spec).text() == number(0.0, spec).text()
    assert number(-1e-9, spec).text().startswith("−") == spec.endswith(("e", "g"))  # there the digits show it
    assert number(-12.0, spec).text().strip().startswith("−1")
    assert (short(-0.0), printed(-0.0).text()) == ("0", "0")


def test_a_spread_too_small_for_the_digits_is_not_shown_as_zero() -> None:
    assert number(5.0, ".1f", 0.003).text() == "5.0 ± 0.003"


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.2293e6, "4.2293·10⁶"), (0.01, "0.01"), (1e-5, "1·10⁻⁵"), (6.0, "6"), (118287.0, "1.18287·10⁵")],
)
def test_published_values_are_shown_as_printed(value: float, text: str) -> None:
    assert printed(value).text() == text


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_published_value_survives_its_spelling(value: float) -> None:
    text = printed(value).text().replace("−", "-").replace("·10", "e")
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    assert float(text.translate(raised)) == pytest.approx(value, rel=1e-10)


def test_sentences_use_few_digits() -> None:
    assert [short(v) for v in (0.0, 0.12345, 12.345, 1234.4, 1.234e6, -1.1e6, math.inf)] == [
        "0", "0.123", "12.3", "1234", "1.23·10⁶", "−1.1·10⁶", "∞",
    ]  # fmt: skip
    assert times(1.3712) == "×1.37"
    assert [duration(s) for s in (0.02, 42, 600, 12_000, 190_000)] == [
        "0.02 s",
        "42 s",
        "10 min",
        "3 h 20 min",
        "2 d 4 h",
    ]


def test_latex_escapes_words_and_keeps_powers() -> None:
    assert escape("batch_size & 50 % of {3·10⁻⁴}") == r"batch\_size \& 50 \% of \{3$\cdot$$10^{-4}$\}"
