"""States under the glass: what in them cannot be stored, and where two of them differ."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

PLAIN = (bool, int, float, str, type(None))


def unsafe(value: Any, path: str) -> Iterator[str]:
    """What a reader that runs no code (`weights_only=True`) refuses, as `state['best'] is a numpy.float64`."""
    import torch

    from retable.bench.run import training

    if type(value) in PLAIN or isinstance(value, torch.Tensor):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from unsafe(key, f"the key {key!r} of {path}") if type(key) not in PLAIN else ()
            yield from unsafe(inner, f"{path}[{key!r}]")
    if isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            yield from unsafe(inner, f"{path}[{i}]")
    empty = type(value)() if type(value) in (dict, list, tuple) else value
    try:
        training.from_bytes(training.to_bytes({"value": empty}))
    except (pickle.PickleError, AttributeError, TypeError):
        yield f"{path} is a {type(value).__module__}.{type(value).__qualname__}"


def difference(one: Any, other: Any, path: str) -> str:
    """Where two states first differ, bit by bit, in words; empty where they are the same."""
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return f"{path} is {_kind(one)} and {_kind(other)}"
        return "" if torch.equal(_bits(one), _bits(other)) else f"{path} has other values"
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{path} has the keys {sorted(map(str, one))} and {sorted(map(str, other))}"
        return next((d for key in one if (d := difference(one[key], other[key], f"{path}[{key!r}]"))), "")
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return f"{path} has {len(one)} and {len(other)} entries"
        pairs = enumerate(zip(one, other, strict=True))
        return next((d for i, (a, b) in pairs if (d := difference(a, b, f"{path}[{i}]"))), "")
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return ""
    return "" if type(one) is type(other) and one == other else f"{path} is {one!r} and {other!r}"


def _bits(tensor: Any) -> Any:
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8)


def _kind(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
