"""How settings are written and compared: one text form for ids, names, labels and the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def text(value: Any) -> str:
    """The short text of a setting's value: `0.001`, `adam`, `true`, `none`; what labels and `--where` use."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, (list, tuple)):
        return "+".join(text(v) for v in value)
    if isinstance(value, Mapping):
        return ";".join(f"{k}:{text(v)}" for k, v in value.items())
    return str(value)


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, 1.0 written as 1 (YAML does not tell them apart)."""
    return _encode(_plain(value))


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


class Written:
    """Canonical texts, each part made once: cells of a grid share their settings' names and most of their values."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, type, Any], str] = {}

    def text(self, value: Mapping[str, Any]) -> str:
        """`canonical(value)`."""
        return f"{{{','.join([self._member(name, value[name]) for name in sorted(value)])}}}"

    def _member(self, name: str, value: Any) -> str:
        kind = type(value)
        if kind is dict:
            return f"{_encode(name)}:{self.text(value)}"
        if kind not in (str, int, float, bool):
            return f"{_encode(name)}:{canonical(value)}"
        member = self._known.get((name, kind, value))
        if member is None:
            member = self._known[name, kind, value] = f"{_encode(name)}:{canonical(value)}"
        return member


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two settings are equal: numbers by value, but a bool is not a number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def matches(value: Any, wanted: Any) -> bool:
    """Whether a setting's value is `wanted`, or one of `wanted` if that is a list."""
    if isinstance(wanted, (list, tuple)) and not isinstance(value, (list, tuple)):
        return any(same(value, w) for w in wanted)
    return same(value, wanted)


def glob(value: Any, pattern: str) -> bool:
    """Whether the value's text matches a shell pattern (`adam*`)."""
    return fnmatchcase(text(value), pattern)
