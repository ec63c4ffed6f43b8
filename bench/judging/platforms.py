"""Platforms: what of a machine moves a loss's last digits, and how far a loss may move between two of them.

A gate compares a trial with itself. On the platform of the baseline it repeats, so it must be equal to rounding.
Elsewhere it may move by what the same trials moved when they were measured on both (`bench check --measure`).
The spread over seeds is no tolerance: it says what another seed does, not what this one may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ROUNDING = 1e-6
"""Relative: how far a loss may move on the baseline's own platform. Measured: nothing, losses repeat to the bit."""

MARGIN = 2.0
"""Times the largest difference that was measured: the next trial is not the one that was."""

LOOSE = 0.5
"""Relative: a tolerance this wide would let a loss double or vanish, so the number is not held on that platform."""

RESIDUE = 1e-12
"""Between platforms, two numbers below this are what rounding leaves of zero."""

ASSUMED: Mapping[str, float] = {
    "threads": 5e-2,
    "ranks": 5e-2,
    "torch": 5e-2,
    "isa": 5e-2,
    "cpu": 5e-2,
    "gpu": 5e-2,
    "device": 1e-1,
    "precision": 1e-1,
    "platform": 1e-1,
}
"""What a loss may move where this fact differs and nobody has measured it. No more than WIDEST for several at once."""

WIDEST = 0.25


@dataclass(frozen=True)
class Measurement:
    """How far the same trials went apart on two platforms.

    differs: fact -> its values on both, in order; empty: on one platform, run twice. compared: which trials, in words.
    largest: experiment -> number -> the largest difference, relative to the larger value: 1 is all of it.
    """

    differs: Mapping[str, tuple[str, str]]
    compared: str
    largest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def text(self) -> str:
        """In what the platforms differ, and for each experiment the number that went furthest apart."""
        how = ", ".join(f"{key} {a} and {b}" for key, (a, b) in self.differs.items()) or "the same platform twice"
        lines = [f"{self.compared}: {how}"]
        for experiment, found in self.largest.items():
            what = max(found, key=lambda name: found[name], default="")
            equal = sum(not value for value in found.values())
            said = f"largest {found[what]:.2g} ({what})" if what else "nothing to compare"
            lines.append(f"  {experiment}: {equal} of {len(found)} numbers equal, {said}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Allowed:
    """How far a number may move, relative to the baseline's, and why. held: whether that is a tolerance at all.

    residue: two numbers no larger than this are the same.
    """

    relative: float
    why: str
    held: bool = True
    residue: float = 0.0


def of(facts: Mapping[str, str]) -> dict[str, str]:
    """The platform of a run, from the facts that it carries (`retable.*` tags without their prefix); unknown ones are
    left out. `platform` is whatever its user calls it."""
    found = {key: facts[key] for key in ("device", "torch") if facts.get(key)}
    if found.get("device", "cpu") == "cpu":
        if facts.get("cpu"):
            found["cpu"] = family(facts["cpu"])
        found |= {key: facts[key] for key in ("isa", "threads") if facts.get(key)}
    else:
        found["device"] = found["device"].partition(":")[0]
        found |= {key: facts[key] for key in ("gpu",) if facts.get(key)}
    if facts.get("precision_used"):
        found["precision"] = facts["precision_used"]
    if found:
        found["ranks"] = facts.get("ranks", "1")
    return found | ({"platform": facts["platform"]} if facts.get("platform") else {})


def family(model: str) -> str:
    """The family of a CPU by its model's name: `AMD EPYC 7763 64-Core Processor` -> `AMD EPYC`."""
    words = re.sub(r"\((R|TM)\)|@.*|\bCPU\b|\bProcessor\b", " ", model, flags=re.IGNORECASE).split()
    return " ".join([w for w in words if not re.search(r"\d", w)] or words)


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The facts in which two platforms differ. One that either does not tell is not counted: the strict side."""
    return {key: (one[key], other[key]) for key in ASSUMED if key in one and key in other and one[key] != other[key]}


def distance(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[int, int]:
    """In how many facts two platforms differ; of equals, those that agree in more of them are nearer."""
    return len(differing(one, other)), -len(one.items() & other.items())


def moved(was: float, now: float) -> float:
    """How far a number moved, relative to what it was."""
    if was == now:
        return 0.0
    return abs(now - was) / abs(was) if was else float("inf")


def apart(one: float, other: float) -> float:
    """How far two numbers lie apart, relative to the larger: the same from both sides, and finite."""
    return abs(one - other) / max(abs(one), abs(other)) if one != other else 0.0


def allowed(
    experiment: str, what: str, there: Mapping[str, str], here: Mapping[str, str], measured: Sequence[Measurement]
) -> Allowed:
    """How far a number may move from the baseline's platform `there` to `here`."""
    differs = differing(there, here)
    fitting = [m for m in measured if m.differs.keys() == differs.keys() and what in m.largest.get(experiment, {})]
    exact = [m for m in fitting if all(set(m.differs[key]) == set(differs[key]) for key in differs)]
    largest = max((m.largest[experiment][what] for m in exact or fitting), default=None)
    where = ", ".join(f"{key} {a} → {b}" for key, (a, b) in differs.items())
    if largest is not None and MARGIN * largest >= LOOSE:
        return Allowed(float("inf"), f"{where or 'same platform'}: measured to differ by {largest:.2g}", held=False)
    if not differs and not largest:
        return Allowed(ROUNDING, "same platform: equal to rounding")
    residue = RESIDUE if differs else 0.0
    if largest is not None:
        pairs = "" if exact else " between others"
        how = f"within {MARGIN:g} times what was measured{pairs}"
        return Allowed(max(ROUNDING, MARGIN * largest), f"{where or 'same platform'}: {how}", residue=residue)
    width = min(WIDEST, sum(ASSUMED[key] for key in differs))
    return Allowed(width, f"{where}: not measured, assumed (bench check --measure)", residue=residue)
