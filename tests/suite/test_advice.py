"""Claims that are legal and weak."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retable.bench.suite.advice import advice
from retable.bench.suite.schema import Suite

SUITE = """\
scales: {{quick: {{about: a}}, paper: {{about: a}}}}
experiments:
  e: {{task: fly, about: a, {seeds}}}
  more: {{task: fly, about: a, seeds: 5}}
claims:
  c:
    quote: up it goes
    from: {of}
    check: {{form: extreme, metric: loss/final, these: {{seed: 0}}, end: lowest}}
    {rest}
"""


@pytest.mark.parametrize(
    ("seeds", "of", "rest", "weak"),
    [
        ("seeds: 2", "e", "{}", True),
        ("seeds: 3", "e", "{}", False),
        ("seeds: 2, seeds_at: {paper: 3}", "e", "{}", False),
        ("seeds: 2, seeds_at: {paper: 3}, not_at: {paper: dear}", "e", "{}", True),
        ("seeds: 2, seeds_at: {paper: 3}", "e", "not_at: {paper: dear}", True),
        ("seeds: [4, 5]", "[e, more]", "{}", True),  # a claim is as strong as its weakest side
        ("seeds: 5", "[e, more]", "{}", False),
        ("seeds: 1", "e", "kind: identity", False),
        ("seeds: 1", "e", "kind: toy", False),
        ("seeds: 1", "e", "replicates: {unit: images, metrics: 'loss/*'}", False),
    ],
)
def test_a_learned_claim_needs_three_seeds_at_some_scale(
    read: Callable[[str], Suite], seeds: str, of: str, rest: str, weak: bool
) -> None:
    rest = "" if rest == "{}" else rest
    assert advice(read(SUITE.format(seeds=seeds, of=of, rest=rest)))["few_seeds"] == (["c"] if weak else [])


def test_a_claim_says_what_it_reads(read: Callable[[str], Suite]) -> None:
    assert advice(read(SUITE.format(seeds="seeds: 3", of="e", rest="")))["no_reads"] == ["c"]
    said = SUITE.format(seeds="seeds: 3", of="e", rest="reads: the first seed is the lowest")
    assert advice(read(said))["no_reads"] == []
