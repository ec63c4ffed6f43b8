"""YAML is read as version 1.2 says, with the place of everything."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.suite import yaml12


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),  # PyYAML alone: a string
        ("1.0e5", 1e5),
        ("on", "on"),  # PyYAML alone: True
        ("no", "no"),
        ("012", 12),  # PyYAML alone: 10
        ("0o17", 15),
        ("1_000", "1_000"),
        ("12:30", "12:30"),  # PyYAML alone: 750
        ("2020-01-01", "2020-01-01"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        (".5", 0.5),
        ("-.inf", -math.inf),
    ],
)
def test_plain_words_are_read_by_the_core_schema(text: str, value: object) -> None:
    read = yaml12.loads(f"key: {text}").data["key"]
    assert read == value and type(read) is type(value)


def test_places_are_those_of_keys_and_values() -> None:
    document = yaml12.loads("a:\n  b: [1, 2]\n")
    assert document.mark(("a", "b"), key=True) == yaml12.Mark(2, 3)
    assert document.mark(("a", "b", 1)) == yaml12.Mark(2, 10)
    assert document.mark(("a", "missing")) == yaml12.Mark(2, 3)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: 1\na: 2", "key 'a' stands twice", 2),
        ("a: [1", "not YAML", 2),
        ("a: !!python/object/apply:os.system [ls]", "tags are not read", 1),
        ("? [1, 2]\n: 3", "a key must be a word", 1),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, message: str, line: int) -> None:
    with pytest.raises(yaml12.YamlError, match=message) as error:
        yaml12.loads(text)
    assert error.value.mark.line == line


def test_aliases_that_explode_are_stopped() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1)] * 10)}]\n" for i in range(1, 9))
    with pytest.raises(yaml12.YamlError, match="more than"):
        yaml12.loads(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        yaml12.loads(text)
    except yaml12.YamlError as error:
        assert error.mark.line >= 1


@given(st.floats(allow_nan=False) | st.integers(-(10**15), 10**15))
def test_numbers_come_back(number: float) -> None:
    text = repr(number).replace("inf", ".inf")
    assert yaml12.scalar(text) == number
