"""What a suite may say and should not: claims that no scale can decide, or that do not say what they test."""

from __future__ import annotations

from collections.abc import Iterator

from retable.bench.suite import resolve
from retable.bench.suite.schema import Claim, Suite

ENOUGH = 3
"""Seeds without which there is no interval, and a verdict is a direction at most."""


WEAK = {
    "few_seeds": f"fewer than {ENOUGH} seeds at every scale, so a direction at most",
    "no_reads": "no `reads`, so nothing says what the check tests",
}


def advice(suite: Suite) -> dict[str, list[str]]:
    """Word of `WEAK` -> the claims of which it is true, in the suite's order."""
    return {
        "few_seeds": [name for name, claim in suite.claims.items() if _undecidable(suite, claim)],
        "no_reads": [name for name, claim in suite.claims.items() if not claim.reads],
    }


def _undecidable(suite: Suite, claim: Claim) -> bool:
    """A learned claim whose interval counts seeds, and has too few of them wherever it is tried."""
    if claim.kind != "learned" or claim.replicates is not None:
        return False
    return all(fewest < ENOUGH for scale in suite.scales for fewest in _fewest(suite, claim, scale))


def _fewest(suite: Suite, claim: Claim, scale: str) -> Iterator[int]:
    """The seeds of the experiment with the fewest, where the scale runs any that the claim is from."""
    here = [suite.experiments[name] for name in claim.from_ if scale not in suite.experiments[name].not_at]
    if here and scale not in claim.not_at:
        yield min(len(resolve.seeds(experiment, scale)) for experiment in here)
