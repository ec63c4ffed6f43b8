"""The index behind the filters finds what a look at every trial finds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from trials import book, trials

from retable.bench.suite.values import matches

VALUES = [None, True, False, 0, 1, 1.0, 2, 2.5, "1", "true", "adam", [1, 2], (1.0, 2), [True, 2], ["adam"], []]


@given(
    st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(VALUES)), max_size=12),
    st.sampled_from([*VALUES, [1, "adam"], [[1, 2], 2.5], [None, False]]),
    st.sampled_from([*VALUES, [1, "adam"], [[1, 2], 2.5], [None, False]]),
)
def test_a_filter_finds_what_a_look_at_every_trial_finds(pairs: list[tuple[Any, Any]], a: Any, b: Any) -> None:
    every = [t for i, (x, y) in enumerate(pairs) for t in trials({i: 1.0}, a=x, b=y)]
    found = book(every).pick("here", ["defaults"], {"a": a}, {"b": b})
    assert found == [t for t in every if matches(t.get("a"), a) and matches(t.get("b"), b)]
