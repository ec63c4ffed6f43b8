"""What a benchmark asserts: in the gate a margin for a busy machine, on an idle one the figure itself.

Ratios within one run still move by a third when a neighbour takes the cache or the memory bus. So the gate (a
plain `pytest`) allows that much, which catches what was really lost; `RETABLE_SPEED=strict pytest tests/benchmarks`
asks for the figures as they are promised.
"""

from __future__ import annotations

import os

MARGIN = 0.6
"""Share of a promised factor that the gate still takes."""


def at_least(measured: float, promised: float) -> None:
    """`measured` times faster, of `promised` ones; with the margin never below "not slower by more than a tenth"."""
    floor = promised if _strict() else max(MARGIN * promised, min(promised, 0.9))
    print(f"measured {measured:.3g}, promised at least {promised:.3g}")
    assert measured >= floor, f"{measured:.3g} times, promised {promised:.3g} (asked here: {floor:.3g})"


def at_most(measured: float, promised: float) -> None:
    """`measured` seconds, or share, of at most `promised`."""
    ceiling = promised if _strict() else promised / MARGIN
    print(f"measured {measured:.3g}, promised at most {promised:.3g}")
    assert measured <= ceiling, f"{measured:.3g}, promised at most {promised:.3g} (asked here: {ceiling:.3g})"


def _strict() -> bool:
    word = os.environ.get("RETABLE_SPEED", "")
    if word not in ("", "strict"):
        raise ValueError(f"RETABLE_SPEED is {word!r}: 'strict', or unset")
    return word == "strict"
