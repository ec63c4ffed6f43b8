"""One text, one JSON and one equality of settings."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.suite.values import Written, canonical, glob, matches, same, text

WHOLE = 2**53
"""Up to here a float that is a whole number is one number only."""

numbers = st.integers(1 - WHOLE, WHOLE - 1) | st.floats(1 - WHOLE, WHOLE - 1)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8)
settings = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def respelt(value: Any) -> Any:
    """The same value as another YAML would write it: keys the other way round, tuples, whole numbers as floats."""
    if isinstance(value, dict):
        return {k: respelt(value[k]) for k in reversed(list(value))}
    if isinstance(value, list):
        return tuple(respelt(v) for v in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "none"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (-2, "-2"),
        (1.0, "1"),
        (0.001, "0.001"),
        (1e-05, "1e-05"),
        (0.1 + 0.2, "0.3"),
        (123456789012.3, "123456789012"),
        (math.inf, "inf"),
        ("adam", "adam"),
        ("", ""),
        ([1, "a", None], "1+a+none"),
        ((0.5,), "0.5"),
        ([], ""),
        ({"a": 1.0, "b": [True, 2]}, "a:1;b:true+2"),
    ],
)
def test_the_text_of_a_value(value: object, expected: str) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1.0, "a": [None, True, "ä"]}, '{"a":[null,true,"\\u00e4"],"b":1}'),
        ({1: {2: 3}}, '{"1":{"2":3}}'),
        ((1.5, -0.0, -3.0), "[1.5,0,-3]"),
        (float(WHOLE) - 1, str(WHOLE - 1)),
        (float(WHOLE), f"{float(WHOLE)!r}"),
        (-float(WHOLE), f"{-float(WHOLE)!r}"),
        (math.inf, "Infinity"),
    ],
)
def test_the_canonical_text_of_a_value(value: object, expected: str) -> None:
    assert canonical(value) == expected


@given(values)
def test_canonical_text_is_that_of_every_spelling(value: object) -> None:
    assert canonical(value) == canonical(respelt(value))


@given(values)
def test_canonical_text_says_the_whole_value(value: object) -> None:
    assert json.loads(canonical(value)) == value


@given(st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=4))
def test_texts_whose_parts_are_kept_are_the_canonical_ones(several: list[dict[str, object]]) -> None:
    written = Written()
    every = [*several, *map(respelt, several), *several, *({"inside": one} for one in several)]
    assert [written.text(one) for one in every] == [canonical(one) for one in every]


@given(settings, settings)
def test_equal_settings_and_no_others_have_one_canonical_text(a: object, b: object) -> None:
    assert same(a, b) == (canonical(a) == canonical(b))


@given(settings)
def test_a_setting_is_the_same_as_every_spelling_of_it(value: object) -> None:
    assert same(value, value) and same(value, respelt(value)) and same(respelt(value), value)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (False, 0),
        (0.0, False),
        (True, False),
        (None, False),
        ("1", 1),
        ([1], [True]),
        ([1, 2], [2, 1]),
        ([1, 2], [1]),
        ([1], [1, 2]),
        ([1], 1),
        ([[1], 2], [[1], 3]),
    ],
)
def test_what_is_not_the_same(a: object, b: object) -> None:
    assert not same(a, b) and not same(b, a)


@pytest.mark.parametrize(
    ("value", "wanted", "fits"),
    [
        (1, 1.0, True),
        (1, [2, 1.0], True),
        (1, (2, 1), True),
        (1, [2, 3], False),
        (1, [], False),
        (1, [True], False),
        ([1, 2], [1, 2.0], True),
        ((1, 2), [1, 2], True),
        ([1, 2], [[1, 2]], False),
        ([1], [1, 2], False),
        ("a", "ab", False),
    ],
)
def test_a_value_matches_one_of_a_list_unless_it_is_a_list(value: object, wanted: object, fits: bool) -> None:
    assert matches(value, wanted) == fits


@pytest.mark.parametrize(
    ("value", "pattern", "fits"),
    [
        ("adam", "adam", True),
        ("adamax", "adam*", True),
        ("adamax", "adam", False),
        ("Adam", "adam", False),
        ("adam", "?d[ab]m", True),
        (0.001, "0.00*", True),
        (None, "none", True),
        (True, "t*", True),
    ],
)
def test_a_pattern_fits_the_whole_text(value: object, pattern: str, fits: bool) -> None:
    assert glob(value, pattern) == fits
