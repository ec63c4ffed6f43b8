"""Small things that every form of a report says alike: sentences, and lists of plain words for a form to spell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Listing:
    """A table of plain words. align: l or r per column."""

    head: tuple[str, ...]
    align: str
    rows: Sequence[tuple[str, ...]]


def capital(words: str) -> str:
    """With its first letter large."""
    return words[:1].upper() + words[1:]


def in_paper(source: str) -> str:
    """Where a view stands in the paper, as a sentence."""
    return f"In the paper: {source}." if source else "Not in the paper."


def sentences(*parts: str) -> str:
    """One after the other, empty ones left out."""
    return " ".join(filter(None, parts))
