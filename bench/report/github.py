"""Plain words and tables as GitHub's Markdown. It imports nothing, so that the ledger can write a page at no cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escape(words: str) -> str:
    """Plain words as Markdown: nothing in them is markup, and they stay on one line."""
    words = " ".join(str(words).split())
    words = re.sub(r"([\\`*\[\]|~$])", r"\\\1", words)
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", words)


def attribute(words: str) -> str:
    """Plain words between the quotes of an HTML attribute."""
    return words.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table of cells that are Markdown already; `align`: l or r per column."""
    marks = {"l": "---", "r": "---:"}
    lines = [head, [marks[a] for a in align], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fold(title: str, body: str) -> str:
    """Something to be opened by a click."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def clip(words: str, most: int) -> str:
    """On one line, cut between words where it is longer than `most`."""
    words = " ".join(words.split())
    return words if len(words) <= most else words[: most - 1].rsplit(" ", 1)[0] + " …"
