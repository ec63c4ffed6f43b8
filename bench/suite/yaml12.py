"""YAML 1.2 (core schema) with the place of every key and value.

PyYAML's parser in C builds the node tree; its YAML 1.1 reading of plain words is not used, because
there `1e-3` is a string, `on` a bool and `012` ten. Duplicate keys, tags and non-text keys are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML built without libyaml: the same tree, slower
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_NODES = 100_000  # far above any suite; stops aliases that expand without end

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}

# What PyYAML's resolver gives to untagged nodes; anything else was written as a tag.
_IMPLICIT = {"str", "int", "float", "bool", "null", "seq", "map", "timestamp", "merge", "value"}

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file, counted from 1."""

    line: int
    column: int


class YamlError(ValueError):
    """The text is not the YAML we read; `.mark` says where."""

    def __init__(self, message: str, mark: Mark):
        super().__init__(message)
        self.mark = mark


@dataclass(frozen=True)
class Document:
    """Plain data and the marks of its keys and values by path ("experiments", "grid", "settings", ...)."""

    data: Any
    keys: dict[Path_, Mark]
    values: dict[Path_, Mark]

    def mark(self, path: Path_, *, key: bool = False) -> Mark:
        """Where `path` stands, or its nearest ancestor that stands in the file."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        for end in range(len(path), -1, -1):
            found = first.get(path[:end]) or second.get(path[:end])
            if found:
                return found
        return Mark(1, 1)


LONGEST = 100
"""Digits of a whole number; what has more is read as a real number, infinite mostly, and refused in its place. Python
refuses to read or to print some thousands of digits."""


def scalar(text: str) -> Any:
    """The value of a plain (unquoted) word by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= LONGEST:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def load(path: Path) -> Document:
    """Read a YAML file. Raises `YamlError`, or OSError when it cannot be read."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise YamlError(f"not UTF-8 text (byte {raw[error.start]:#04x})", Mark(line, 1)) from None
    return loads(text)


def loads(text: str) -> Document:
    """Read YAML text. Raises `YamlError`."""
    try:
        root = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = _mark(place) if place else Mark(1, 1)
        raise YamlError(f"not YAML: {error.problem or error.context}", mark) from None
    except yaml.YAMLError as error:
        raise YamlError(f"not YAML: {error}", Mark(1, 1)) from None
    document = Document(None, {}, {})
    if root is None:
        return document
    budget = [MAX_NODES]
    return Document(_build(root, (), document, budget), document.keys, document.values)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no text of a suite needs, and what would reach a terminal: escapes, ends of lines, reversed writing."""


def _printable(text: str, mark: Mark) -> None:
    found = _CONTROL.search(text)
    if found:
        raise YamlError(f"a control character (U+{ord(found[0]):04X}) in a text: take it out", mark)


def _mark(place: Any) -> Mark:
    return Mark(place.line + 1, place.column + 1)


def _build(node: Any, path: Path_, document: Document, budget: list[int]) -> Any:
    mark = _mark(node.start_mark)
    document.values[path] = mark
    budget[0] -= 1
    if budget[0] < 0:
        raise YamlError(f"more than {MAX_NODES} values: aliases that repeat themselves?", mark)
    if len(path) > 60:
        raise YamlError("nested deeper than 60 levels", mark)
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _IMPLICIT:
        raise YamlError(f"tags are not read here: {node.tag}", mark)
    if isinstance(node, yaml.ScalarNode):
        _printable(node.value, mark)
        return node.value if node.style else scalar(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, i), document, budget) for i, child in enumerate(node.value)]
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key_mark = _mark(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError("a key must be a word", key_mark)
        key = key_node.value
        _printable(key, key_mark)
        if key in data:
            raise YamlError(f"key '{key}' stands twice", key_mark)
        document.keys[(*path, key)] = key_mark
        data[key] = _build(value_node, (*path, key), document, budget)
    return data
