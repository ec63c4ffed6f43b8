"""What a worker tells arrives as it was told, or not at all."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retable.bench.run import events

ANY = st.one_of([st.from_type(kind) for kind in get_args(events.Event)])


@given(ANY)
def test_an_event_is_read_as_it_was_written(event: events.Event) -> None:
    line = events.write(event)
    assert line.endswith("\n") and line.count("\n") == 1
    found = events.read(line)
    assert type(found) is type(event)
    assert repr(found) == repr(event)  # also where a value is no number


@given(ANY, st.data())
def test_a_line_that_a_kill_cut_short_is_no_event(event: events.Event, data: st.DataObject) -> None:
    line = events.write(event)
    assert events.read(line[: data.draw(st.integers(0, len(line) - 2))]) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "sneezed"}',
        '{"event": "stopped"}',
        '{"event": "bye", "why": "tired"}',
        '{"event": ["bye"]}',
        '{"trial": "a"}',
        '["bye"]',
        "7",
        "Epoch 3: loss 0.25",
    ],
)
def test_what_is_no_event_of_ours_is_none(line: str) -> None:
    assert events.read(line) is None


def test_a_line_names_its_kind() -> None:
    assert json.loads(events.write(events.Stopped("abc"))) == {"event": "stopped", "trial": "abc"}
