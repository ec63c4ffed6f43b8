"""Signals are a command's for as long as it runs trials, and then what they were."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from retable.bench.commands import signals


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)  # let the interpreter see it


def of_the_process() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_sigterm_is_ctrl_c_while_trials_run() -> None:
    before = of_the_process()
    with pytest.raises(KeyboardInterrupt), signals.sigterm_as_ctrl_c():
        send(signal.SIGTERM)
    assert of_the_process() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_interrupt_until_somebody_counts_them(number: signal.Signals) -> None:
    before = of_the_process()
    with pytest.raises(KeyboardInterrupt), signals.counted():
        send(number)
    with signals.counted() as asked:
        assert asked() == 0
        send(number)
        assert asked() == 1
        send(signal.SIGTERM)
        assert asked() == 2
    assert of_the_process() == before


@pytest.mark.parametrize("block", [signals.sigterm_as_ctrl_c, signals.counted])
def test_an_error_gives_the_signals_back_too(block: Callable[[], object]) -> None:
    before = of_the_process()
    with pytest.raises(ZeroDivisionError), block():  # type: ignore[attr-defined]
        _ = 1 / 0
    assert of_the_process() == before
