"""YAML is read as version 1.2 says, with the place of everything."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.suite import yaml12
from retable.bench.suite.yaml12 import Mark


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),  # PyYAML alone: a string
        ("1.0e5", 1e5),
        ("-1.5E+2", -150.0),
        ("1.", 1.0),
        ("on", "on"),  # PyYAML alone: True
        ("no", "no"),
        ("012", 12),  # PyYAML alone: 10
        ("+7", 7),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("0o18", "0o18"),
        ("0xfg", "0xfg"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),  # PyYAML alone: 750
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("2020-01-01", "2020-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        (".5", 0.5),
        ("+.5", 0.5),
        (".", "."),
        ("tRUE", "tRUE"),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, math.inf) for word in (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF")),
        *((word, -math.inf) for word in ("-.inf", "-.Inf", "-.INF")),
    ],
)
def test_plain_words_are_read_by_the_core_schema(text: str, value: object) -> None:
    read = yaml12.loads(f"key: {text}").data["key"]
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("word", [".nan", ".NaN", ".NAN"])
def test_what_is_no_number_is_read_as_such(word: str) -> None:
    assert math.isnan(yaml12.scalar(word))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# a remark\n", None),
        ("5", 5),
        ("[1, [two, {three: 3}]]", [1, ["two", {"three": 3}]]),
        ("a: &a {b: 1}\nc: *a", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: |\n  1\n", {"a": "1\n"}),
        ("1: a\ntrue: b\nnull: c", {"1": "a", "true": "b", "null": "c"}),
        ("a: =\nb: <<\n<<: 1", {"a": "=", "b": "<<", "<<": 1}),
    ],
)
def test_documents(text: str, value: object) -> None:
    assert yaml12.loads(text).data == value


def test_places_are_those_of_keys_and_values() -> None:
    document = yaml12.loads("a:\n  b: [1, 2]\n")
    assert document.mark(("a", "b"), key=True) == Mark(2, 3)
    assert document.mark(("a", "b")) == Mark(2, 6)
    assert document.mark(("a", "b", 1)) == Mark(2, 10)
    assert document.mark(()) == Mark(1, 1)


@pytest.mark.parametrize("key", [False, True])
def test_what_does_not_stand_there_is_placed_at_the_nearest_that_does(key: bool) -> None:
    document = yaml12.loads("\na:\n  b: [1, 2]\n")
    assert document.mark(("a", "missing", "too"), key=key) == (Mark(2, 1) if key else Mark(3, 3))
    assert document.mark(("a", "b", 1, "x"), key=key) == Mark(3, 10), "a list's values have no keys"
    assert document.mark(("z",), key=key) == Mark(2, 1)
    assert yaml12.loads("").mark(("z",), key=key) == Mark(1, 1)


def test_marks_are_in_the_order_of_the_file() -> None:
    assert sorted([Mark(2, 1), Mark(1, 9), Mark(1, 2)]) == [Mark(1, 2), Mark(1, 9), Mark(2, 1)]


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a: 1\na: 2", "key 'a' stands twice", Mark(2, 1)),
        ("b:\n  a: 1\n  a: 2", "key 'a' stands twice", Mark(3, 3)),
        ("a: [1", "not YAML: did not find expected ',' or ']'", Mark(2, 1)),
        ("a: 1\n b: 2", "not YAML: mapping values are not allowed in this context", Mark(2, 3)),
        ("a: *b", "not YAML: found undefined alias", Mark(1, 4)),
        ("a: 1\n--- b", "not YAML: but found another document", Mark(2, 1)),
        (
            "a: !!python/object/apply:os.system [ls]",
            "tags are not read here: tag:yaml.org,2002:python/object/apply:os.system",
            Mark(1, 4),
        ),
        ("a: !mine 3", "tags are not read here: !mine", Mark(1, 4)),
        ("b: 1\n? [1, 2]\n: 3", "a key must be a word", Mark(2, 3)),
    ],
)
def test_what_is_not_read_is_refused_with_its_place(text: str, message: str, place: Mark) -> None:
    with pytest.raises(yaml12.YamlError) as error:
        yaml12.loads(text)
    assert (str(error.value), error.value.mark) == (message, place)


def test_characters_that_yaml_forbids_are_refused() -> None:
    with pytest.raises(yaml12.YamlError, match=r"^not YAML: ") as error:
        yaml12.loads("a: \x00")
    assert error.value.mark == Mark(1, 1)


def test_aliases_that_explode_are_stopped() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1)] * 10)}]\n" for i in range(1, 9))
    with pytest.raises(yaml12.YamlError, match=r"^more than 100000 values: aliases that repeat themselves\?$"):
        yaml12.loads(text)


def test_as_many_values_as_are_allowed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml12, "MAX_NODES", 4)
    assert yaml12.loads("[1, 2, 3]").data == [1, 2, 3]
    with pytest.raises(yaml12.YamlError, match="more than 4 values") as error:
        yaml12.loads("[1, 2, 3, 4]")
    assert error.value.mark == Mark(1, 11)


def test_nesting_has_an_end() -> None:
    assert yaml12.loads("[" * 60 + "1" + "]" * 60).data
    with pytest.raises(yaml12.YamlError, match=r"^nested deeper than 60 levels$") as error:
        yaml12.loads("[" * 61 + "1" + "]" * 61)
    assert error.value.mark == Mark(1, 62)


def test_a_file_is_read_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: ä".encode())
    assert yaml12.load(path).data == {"a": "ä"}
    path.write_bytes(b"a: b\nc: d\ne: \xe4\n")
    with pytest.raises(yaml12.YamlError) as error:
        yaml12.load(path)
    assert (str(error.value), error.value.mark) == ("not UTF-8 text (byte 0xe4)", Mark(3, 1))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        yaml12.loads(text)
    except yaml12.YamlError as error:
        assert error.mark.line >= 1 and error.mark.column >= 1


@given(st.floats(allow_nan=False) | st.integers(-(10**15), 10**15))
def test_numbers_come_back(number: float) -> None:
    read = yaml12.scalar(repr(number).replace("inf", ".inf"))
    assert read == number and type(read) is type(number)
