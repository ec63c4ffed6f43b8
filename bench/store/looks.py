"""Looks at claims: at how many seeds each was judged, kept as tags of the MLflow experiment that it is about.

Adding seeds after a look at the result changes what a p-value means, so every look is remembered where the runs are,
whoever adds seeds to them and from whichever machine.
"""

from __future__ import annotations

from collections.abc import Mapping

from retable.bench.store import reading
from retable.bench.store.places import Stores, experiment_name
from retable.bench.suite.schema import Suite

Looks = dict[str, tuple[int, ...]]
"""Claim -> the numbers of seeds at which it was looked at, ascending."""


def read(suite: Suite, scale: str, uri: str) -> Looks:
    """Every look at the claims of a suite at a scale."""
    beginning = _key(scale, "")
    found: Looks = {}
    for tags in reading.tags(uri, _names(suite), beginning).values():
        for key, value in tags.items():
            claim = key.removeprefix(beginning)
            found[claim] = tuple(sorted({*found.get(claim, ()), *map(int, value.split())}))
    return found


def note(suite: Suite, scale: str, stores: Stores, seen: Mapping[str, int]) -> None:
    """Remember that claims were judged, each at so many seeds. Only what is new is written."""
    before = read(suite, scale, stores.tracking)
    new = {claim: n for claim, n in seen.items() if n not in before.get(claim, ())}
    if not new:
        return
    there = reading.tags(stores.tracking, _names(suite), _key(scale, ""))
    for claim, n in new.items():
        name = experiment_name(suite.suite, suite.claims[claim].from_[0])
        if name in there:  # of one that is not there nothing was run, so nothing was seen
            value = " ".join(map(str, sorted({*before.get(claim, ()), n})))
            reading.tag(stores.tracking, name, _key(scale, claim), value)


def _names(suite: Suite) -> list[str]:
    return [experiment_name(suite.suite, name) for name in suite.experiments]


def _key(scale: str, claim: str) -> str:
    return f"retable.looks.{scale}.{claim}"
