"""Waiting out a store that is away for a while: a database that restarts, a tracking server that is moved.

A command that only reads fails at once and says so. A run has hours to lose, so once it has reached its stores it
waits for them, up to `RETABLE_PATIENCE` seconds (half an hour) at a time, and then goes on.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

LONGEST_PAUSE = 5.0

_limit = 0.0
_last_outage: float | None = None


def say(text: str) -> None:
    """A line for the person or the log that watches standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


tell: Callable[[str], object] = say
"""Where it is said that we wait; a worker says it to its supervisor."""


def allow(seconds: float | None = None) -> None:
    """From now on this process waits for its stores, `seconds` long at most [default: RETABLE_PATIENCE or 1800]."""
    global _limit
    _limit = float(os.environ.get("RETABLE_PATIENCE", "1800")) if seconds is None else seconds


@contextmanager
def kept() -> Iterator[None]:
    """After this block the process waits for its stores as long as before, whatever was allowed in it."""
    before = _limit
    try:
        yield
    finally:
        allow(before)


def limit() -> float:
    """Seconds that this process waits for a store at most; 0 before `allow`."""
    return _limit


def since_outage() -> float:
    """Seconds since a store was last found away; infinite if it never was."""
    return float("inf") if _last_outage is None else time.monotonic() - _last_outage


def notice() -> None:
    """Remember that a store is away now."""
    global _last_outage
    _last_outage = time.monotonic()


def wait_for(call: Callable[[], T], away: Callable[[Exception], bool], what: str) -> T:
    """The result of `call`, repeated while it raises what `away` knows as an outage and patience lasts.

    `call` must be safe to repeat after an answer that was lost on the way.
    """
    began, pause, told = time.monotonic(), 0.2, False
    while True:
        try:
            return call()
        except Exception as error:
            if not away(error):
                raise
            notice()
            if time.monotonic() - began > _limit:
                raise
            if not told:
                tell(f"{what} does not answer; waiting for it")
                told = True
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)
