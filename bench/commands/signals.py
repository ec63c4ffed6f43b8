"""Ctrl-C, SIGTERM and SIGHUP for the commands that run trials. Nothing below the commands sets a signal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def _answered(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Answer signals so in this block, and as before after it."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, which Slurm and Kubernetes send before the end, and SIGHUP, a terminal's or ssh's that is lost, raise
    KeyboardInterrupt too."""
    with _answered({signal.SIGTERM: signal.default_int_handler, signal.SIGHUP: signal.default_int_handler}):
        yield


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """How often Ctrl-C, SIGTERM or SIGHUP came. Until that is first asked for, they raise KeyboardInterrupt."""
    came: list[int] = []
    asked = False

    def come(number: int, frame: FrameType | None) -> None:
        if not asked:
            raise KeyboardInterrupt
        came.append(number)

    def count() -> int:
        nonlocal asked
        asked = True
        return len(came)

    with _answered({signal.SIGINT: come, signal.SIGTERM: come, signal.SIGHUP: come}):
        yield count
