"""The base of every error that a person can mend: its text says what, where, and what to do."""


class RetableError(Exception):
    """Something that the person who runs it can mend; the text says how. Its kinds are in `retable.__all__`."""
