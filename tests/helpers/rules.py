"""A rule of the suite format: a suite that breaks it, what is said of it and where, and what mends it.

`▸` stands in a suite where a complaint is placed, and is taken out before it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import kites
import pytest

from retable.bench.suite import loader
from retable.bench.suite.schema import Suite


class Rule(NamedTuple):
    """A suite that breaks a rule; what is said of it, in the order of the marks; what mends it: `old -> new`."""

    id: str
    body: str
    said: str
    mended: str


E = "experiments: {e: {task: fly, about: a}}\n"
GRID = """\
experiments:
  e:
    {task: fly, about: a, seeds: 2, settings: {line: {value: [1, 2.5], source: s 1}, size: {value: 5, source: s 1}}}
  land: {task: land, about: a, settings: {height: {value: [5, 6], source: s 1}}}
  tune:
    {task: fly, about: a, search: {space: {line: {low: 1, high: 9}}, trials: 2, metric: loss/final, source: s 1}}
"""
FLY = "fly: known: line, pictures, size, strong, tail, weights"
SETTINGS = "known: line, pictures, size, strong, tail, weights"
SEEN = "known: experiment, line, pictures, seed, size, strong, tail, weights"
"""What a view of experiment `e` may name: its settings and what every trial has."""

MEASURED = "known: loss/final, loss/total, memory/peak, time/logging, time/step, time/train"


def refused(body: str, read: Callable[[str], Suite]) -> str:
    """What is said of a suite, its marks taken out."""
    with pytest.raises(loader.SuiteError) as error:
        read(body.replace("▸", ""))
    return str(error.value)


def mended(rule: Rule) -> str:
    """The rule's suite after its changes, each of one place."""
    text = rule.body.replace("▸", "")
    for change in rule.mended.split(" ~ "):
        old, new = change.split(" -> ")
        if text.count(old) != 1:
            raise ValueError(f"'{old}' stands {text.count(old)} times in the suite of '{rule.id}'")
        text = text.replace(old, new)
    return text


def complaints(body: str, said: str) -> str:
    """What is to be said of a suite with marks in it: each line at its mark, the rest at the last."""
    pieces, lines = kites.suite(body).split("▸"), []
    for i, words in enumerate(said.split("\n"), 1):
        before = "".join(pieces[: min(i, len(pieces) - 1)])
        lines.append(f"kites.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: {words}")
    return "\n".join(lines)
