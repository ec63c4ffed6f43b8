"""What `bench check` found, as text, as Markdown for a pull request, and as JUnit XML for a CI server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from retable.bench import tables
from retable.bench.judging.regression import FAILING, Checked
from retable.bench.numbers import counted
from retable.bench.report import github

HEADER = ("", "trial", "what", "baseline", "now", "moved by", "allowed")
ROWS = 200
"""A pull request's comment takes 65,536 characters."""

_UNPRINTABLE = re.compile("[^\\t\\n\\r\\x20-\\x7e\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def printable(words: str) -> str:
    """Words that a terminal shows and XML may hold: control characters and half characters as `\\x1b`, `\\udcff`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), words)


def summary(compared: Sequence[Checked]) -> str:
    """One line: how many numbers were held, and outcomes of trials without any; what is wrong."""
    count = Counter(c.kind for c in compared if c.was is not None or c.what != "outcome")
    ended = Counter(c.kind for c in compared if c.was is None and c.what == "outcome")
    said = [f"{counted(count['same'] + count['moved'], 'number')} held, {count['moved']} moved"]
    said += [f"{counted(ended.total(), 'outcome')} held, {ended['moved']} changed"] if ended else []
    said += [f"{counted(count[k], 'trial')} {k}" for k in ("missing", "gone", "failed", "new") if count[k]]
    said += [f"{counted(count['not held'], 'number')} not held on this platform"] if count["not held"] else []
    return ", ".join(said)


def tolerances(compared: Sequence[Checked]) -> list[str]:
    """A line for every tolerance that was used: where and how wide, for how many numbers."""
    used: dict[str, list[float]] = {}
    for c in compared:
        if c.allowed is not None:
            used.setdefault(c.why, []).append(c.allowed)
    return [
        f"{counted(len(widths), 'number')}: {why}, "
        + (f"{widths[0]:.2g}" if min(widths) == max(widths) else f"{min(widths):.2g} to {max(widths):.2g}")
        for why, widths in used.items()
    ]


def text(compared: Sequence[Checked]) -> str:
    """The summary, which tolerances were used, and a table of what is not the same."""
    odd = [c for c in compared if c.kind != "same"]
    lines = [summary(compared), *(f"  {line}" for line in tolerances(compared))]
    if odd:
        lines.append(tables.text(HEADER, (_cells(c) for c in odd)))
    return "\n".join(lines)


def _cells(c: Checked) -> tuple[str, ...]:
    what = c.what if c.was is not None else c.why if c.what == "trial" else f"{c.what}: {c.why}"
    numbers = ["" if n is None else f"{n:.9g}" for n in (c.was, c.now)]
    numbers += ["" if n is None else f"{n:.2%}" if n >= 1e-3 else f"{n:.1e}" for n in (c.moved, c.allowed)]
    return tuple(" ".join(printable(cell).split()) for cell in (c.kind, c.name, what, *numbers))


def markdown(compared: Sequence[Checked]) -> str:
    """The summary and the table of what is not the same, for a job's summary or a pull request's comment."""
    odd = [c for c in compared if c.kind != "same"]
    lines = [f"**{summary(compared)}**", "", *(f"- {github.escape(printable(line))}" for line in tolerances(compared))]
    if odd:
        rows = ([github.escape(cell) for cell in _cells(c)] for c in odd[:ROWS])
        lines += ["", github.grid(HEADER, rows, "lllrrrr")]
    if len(odd) > ROWS:
        lines += ["", f"... and {len(odd) - ROWS} more"]
    return "\n".join(lines) + "\n"


def junit(compared: Sequence[Checked], file: str, seconds: float) -> str:
    """One test case for every held number, and for every trial without one. file: the baseline's path."""
    suite = ElementTree.Element(
        "testsuite",
        name="bench check",
        tests=str(len(compared)),
        failures=str(sum(c.kind in FAILING for c in compared)),
        errors=str(sum(c.kind == "failed" for c in compared)),
        skipped=str(sum(c.kind in ("new", "not held") for c in compared)),
        time=f"{seconds:.3f}",
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    marks = {"failed": "error", "new": "skipped", "not held": "skipped"}
    for c in compared:
        case = ElementTree.SubElement(
            suite, "testcase", classname=printable(c.name), name=printable(c.what), file=printable(file), time="0"
        )
        if c.kind != "same":
            mark = ElementTree.SubElement(case, marks.get(c.kind, "failure"), type=c.kind, message=_message(c))
            mark.text = printable(c.why)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


def _message(c: Checked) -> str:
    if c.was is None:
        return printable(c.why)
    _, _, _, was, now, moved, allowed = _cells(c)
    return f"was {was}, is {now or 'not there'}; moved by {moved or '?'}, allowed {allowed or '?'}: {printable(c.why)}"
