"""The words of verdicts, their symbols and what they mean. The ledger shows them without judging anything."""

from __future__ import annotations

from typing import Literal

Word = Literal[
    "reproduced",
    "the same",
    "direction only",
    "direction only (opposite)",
    "within noise",
    "contradicted",
    "not judgeable here",
    "not run",
]
SYMBOLS: dict[Word, str] = {
    "reproduced": "✔",
    "the same": "=",
    "direction only": "↗",
    "direction only (opposite)": "↘",
    "within noise": "≈",
    "contradicted": "✘",
    "not judgeable here": "⊘",
    "not run": "–",
}
WORDS: tuple[Word, ...] = tuple(SYMBOLS)
MEANINGS: dict[Word, str] = {
    "reproduced": "the claim holds, and the interval over at least three seeds (or what else is said to be counted) "
    "leaves the opposite out",
    "the same": "the claim is that two things are equal, and the interval lies within the margin stated for it",
    "direction only": "the claim holds in our runs, but they are too few for an interval",
    "direction only (opposite)": "our runs point the other way, but they are too few for an interval",
    "within noise": "our runs cannot tell the claim from its opposite",
    "contradicted": "our runs say the opposite, and the interval over at least three seeds (or what else is said to be "
    "counted) leaves the claim out",
    "not judgeable here": "what the sentence takes for granted does not hold of our runs, so they cannot try it",
    "not run": "runs that the claim needs are missing, failed, or beyond this scale",
}
UNDECIDED: tuple[Word, ...] = ("within noise", "direction only", "direction only (opposite)")
