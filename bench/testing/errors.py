"""What the checks raise."""

from __future__ import annotations


class ConformanceError(AssertionError):
    """Something that the engine relies on does not hold; the text says of what, where, and what to do."""
