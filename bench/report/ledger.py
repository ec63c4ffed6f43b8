"""The ledger: every table, figure and claim of every suite; at which scale it was run, what came of it, and whether
suite and code still are what was run.

It is made from the records that reports leave beside their pages, so a fresh clone shows it without a store, and it
costs the same however many trials were run. Imports nothing that computes, stores or draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retable.bench import files
from retable.bench.errors import RetableError
from retable.bench.judging.words import MEANINGS, SYMBOLS, WORDS
from retable.bench.numbers import counted, duration
from retable.bench.report.github import escape, slug
from retable.bench.report.record import VERSION, digest
from retable.bench.store import status
from retable.bench.suite import loader, plan
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.schema import Claim, Figure, NotRebuilt, Table

HOLDING = ("reproduced", "the same")


class LedgerError(RetableError, ValueError):
    """A record that cannot be read; the text names the file and says what to do."""


@dataclass(frozen=True)
class Row:
    """A table, figure or claim at one scale.

    state: for a claim its verdict; "rebuilt", "in part" or "not here" for tables and figures; "not run" for all.
    word: the verdict's word, empty for tables and figures. about: what a claim is about, "learned" models, an
    "identity" or a "toy". reads: what its check tests. cells, done: declared, and with every seed's result. stale: what
    has changed since it was run, or an empty text. when: the day the last of its scale's runs ended (UTC). reason: why
    it is not here, or the basis of the verdict.
    """

    suite: str
    scale: str
    kind: str
    name: str
    title: str
    source: str
    cells: int
    done: int
    state: str
    stale: str
    when: str
    hardware: str
    reason: str
    word: str = ""
    about: str = ""
    reads: str = ""


@dataclass(frozen=True)
class Entry:
    """A suite at one scale. record: what its last report found, or None where there is no report."""

    file: SuiteFile
    scale: str
    record: dict[str, Any] | None
    rows: list[Row]

    def count(self, kind: str, *states: str) -> int:
        """Rows of a kind, of them those in a state. Of claims those about learned models alone, by their words."""
        own = [r for r in self.rows if r.kind == kind and r.about in ("", "learned")]
        return sum(not states or (r.word or r.state) in states for r in own)

    @property
    def aside(self) -> str:
        """`3 of 4`: of the identities and toy claims those that hold; an empty text where there is none."""
        own = [r for r in self.rows if r.about in ("identity", "toy")]
        return f"{sum(r.word in HOLDING for r in own)} of {len(own)}" if own else ""


def read(reports: Path | None = None, suites: Sequence[Path] | None = None) -> list[Entry]:
    """An entry per suite and scale, in the suites' order.

    reports: the folder with the reports; default: `reports/` of each suite's project. suites: files; default: all
    of the project. Raises `LedgerError`, and `SuiteError` of a broken suite.
    """
    found = []
    for path in loader.available() if suites is None else suites:
        file = loader.load(path)
        digests = status.code_digests(file.suite)
        for scale in file.suite.scales:
            at = (reports or file.project / "reports") / file.suite.suite / f"{scale}.json"
            record = _load(at)
            found.append(Entry(file, scale, record, _rows(file, scale, record, digests)))
    return found


def folder() -> Path:
    """`reports/` of the project that this folder is in. Raises `LedgerError` where there is none."""
    found = loader.available()
    if not found:
        raise LedgerError("no suites/ folder here or above: run it inside the project, or give --out")
    return loader.project_of(found[0]) / "reports"


def _load(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LedgerError(f"{path}: cannot be read ({error}); `bench report` writes it anew") from None
    if not isinstance(record, dict) or record.get("version") != VERSION:
        raise LedgerError(f"{path}: not a record of version {VERSION}; `bench report` writes it anew")
    return record


def _rows(file: SuiteFile, scale: str, record: dict[str, Any] | None, digests: dict[str, str]) -> list[Row]:
    own = file.suite
    known = {(v["kind"], v["name"]): v for v in record["views"]} if record else {}
    changed = _changed(file, scale, record, digests) if record else {}
    rows = []
    views: list[tuple[str, Mapping[str, Table | Figure | Claim]]]
    views = [("table", own.tables), ("figure", own.figures), ("claim", own.claims)]
    for kind, named in views:
        for name, view in named.items():
            found = known.get((kind, name))
            title = view.quote if isinstance(view, Claim) else view.title
            stale = "; ".join(dict.fromkeys(changed[e] for e in found["experiments"] if e in changed)) if found else ""
            rows.append(
                Row(
                    suite=own.suite,
                    scale=scale,
                    kind=kind,
                    name=name,
                    title=title,
                    source=view.source,
                    cells=found["cells"] if found else 0,
                    done=found["done"] if found else 0,
                    state=_state(found),
                    stale=stale,
                    when=record["ended"][:10] if record and found else "",
                    hardware=record["hardware"] if record and found else "",
                    reason=(found["not_here"] or found.get("problem") or found.get("basis", "")) if found else "",
                    word=str(found["verdict"]) if found and kind == "claim" else "",
                    about=view.kind if isinstance(view, Claim) else "",
                    reads=view.reads if isinstance(view, Claim) else "",
                )
            )
    return rows


def _state(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not run"
    if found["kind"] == "claim":
        return str(found["label"])
    if found["not_here"]:
        return "not here"
    if not found["done"] or found.get("problem"):
        return "not run"
    return "rebuilt" if found["done"] == found["cells"] else "in part"


def _changed(file: SuiteFile, scale: str, record: dict[str, Any], digests: dict[str, str]) -> dict[str, str]:
    """Experiment -> what is not as it was run."""
    ids: dict[str, list[str]] = {}
    for trial in plan.trials(file.suite, scale):
        ids.setdefault(trial.experiment, []).append(trial.id)
    found = {}
    for name, was in record["trials"].items():
        if digest(ids.get(name, [])) != was:
            found[name] = "its settings or data have changed"
        elif record["code"][name] and record["code"][name] != [digests.get(name)]:
            found[name] = "its code has changed"
    return found


def write(entries: Sequence[Entry], reports: Path) -> Path:
    """Write `README.md` of a reports folder."""
    return files.write(reports / "README.md", markdown(entries))


def as_json(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Every row as plain data."""
    return [asdict(row) for entry in entries for row in entry.rows]


def text(entries: Sequence[Entry]) -> str:
    """The ledger for a terminal: a line per row of what was run, and a line per scale that was not."""
    lines = []
    for entry in entries:
        if entry.record is None:
            lines.append(f"{entry.file.suite.suite} {entry.scale}: no report")
            continue
        head = f"{entry.file.suite.suite} {entry.scale}: {_tally(entry)}; {entry.record['ended'][:10]}"
        lines += [head + (f", {entry.record['hardware']}" if entry.record["hardware"] else "")]
        for row in entry.rows:
            stale = f"  STALE: {row.stale}" if row.stale else ""
            lines.append(f"  {row.kind:<6}  {row.name:<28}  {row.state:<24}  {_cells(row):>9}{stale}")
    return "\n".join(lines)


def _cells(row: Row) -> str:
    return f"{row.done}/{row.cells}" if row.cells else ""


def _tally(entry: Entry) -> str:
    """`3 reproduced, 1 contradicted` of the claims."""
    own = [(word, entry.count("claim", word)) for word in WORDS]
    said = ", ".join(f"{n} {word}" for word, n in own if n) or "no claims"
    return said + (f"; identities and toy claims: {entry.aside} hold" if entry.aside else "")


def markdown(entries: Sequence[Entry]) -> str:
    """The ledger as a page: a summary line per suite and scale, then a row per table, figure and claim."""
    run = [e for e in entries if e.record]
    parts = [
        "# The ledger",
        "What the papers publish, what was run here, and what came of it. Every number on these pages was measured by "
        "runs of this project or is labelled as the paper's. This page is written by `bench report`; "
        "`bench status` prints it.",
        summary(entries),
        f"<sub>{'; '.join(f'{SYMBOLS[w]} *{w}*: {MEANINGS[w]}' for w in WORDS)}.</sub>",
    ]
    for entry in run:
        parts += _section(entry)
    rest = [e for e in entries if not e.record]
    if rest:
        parts.append("## Declared, not run here")
        parts.append("\n".join(f"- `{e.file.suite.suite}` at `{e.scale}`: {escape(_about(e))}" for e in rest))
    return "\n\n".join(parts) + "\n"


def _about(entry: Entry) -> str:
    trials = len(plan.trials(entry.file.suite, entry.scale))
    return f"{trials} trials. {entry.file.suite.scales[entry.scale].about}"


def verdicts(path: Path) -> list[str]:
    """A line per claim of the record at `path`, for a terminal; those that were not run as a count."""
    record = _load(path)
    claims = [view for view in (record["views"] if record else ()) if view["kind"] == "claim"]
    run = [c for c in claims if c["verdict"] != "not run"]
    lines = [f"{SYMBOLS[c['verdict']]} {c['name']}: {c['label']}; {c['basis']}" for c in run]
    rest = len(claims) - len(run)
    return [*lines, *([f"{SYMBOLS['not run']} {counted(rest, 'claim')} not run"] if rest else [])]


def summary(entries: Sequence[Entry], folder: str = "") -> str:
    """The summary table. `folder`: of the reports, relative to the page that it is put on."""
    head = (
        "| paper | scale | tables | figures | "
        + " | ".join(SYMBOLS[w] for w in WORDS)
        + " | identities, toys | run | report |"
    )
    lines = [head, "|---|---|---:|---:|" + "---:|" * len(WORDS) + "---:|---|---|"]
    for entry in entries:
        if entry.record is None:
            continue
        own = entry.file.suite
        of = {kind: f"{entry.count(kind, 'rebuilt', 'in part')} of {entry.count(kind)}" for kind in ("table", "figure")}
        claims = " | ".join(str(entry.count("claim", word) or "") for word in WORDS)
        stale = " (stale in part)" if any(r.stale for r in entry.rows) else ""
        lines.append(
            f"| {escape(own.paper.title)} | {entry.scale} | {of['table']} | {of['figure']} | {claims} | {entry.aside} "
            f"| {entry.record['ended'][:10]}{stale} | [report]({folder}{own.suite}/{entry.scale}.md) |"
        )
    return "\n".join(lines)


def _section(entry: Entry) -> list[str]:
    own, record = entry.file.suite, entry.record
    assert record is not None
    page = f"{own.suite}/{entry.scale}.md"
    states = ", ".join(f"{n} {s}" for s, n in record["states"].items())
    spent, ended = duration(record["seconds"]), record["ended"][:16].replace("T", " ")
    lines = ["| | in the paper | what | cells | came out | stale |", "|---|---|---|---:|---|---|"]
    quoted = ""
    for row in entry.rows:
        anchor = slug(row.name if row.kind == "claim" else f"{row.name}: {row.title}")
        mark = next((SYMBOLS[w] for w in WORDS if row.word == w), "")
        came = f"{mark} {row.state}".strip()
        why = f": {row.reason}" if row.reason and (row.kind == "claim" or row.state in ("not here", "not run")) else ""
        what = "″" if row.kind == "claim" and row.title == quoted else escape(row.title)
        what += f"<br><sub>Tested: {escape(row.reads)}</sub>" if row.reads else ""
        quoted = row.title
        lines.append(
            f"| {row.kind} [{escape(row.name)}]({page}#{anchor}) | {escape(row.source or 'not in the paper')} "
            f"| {what} | {_cells(row)} | {came}{escape(_short(why))} | {escape(row.stale)} |"
        )
    return [
        f"## {escape(own.paper.title)}: `{entry.scale}`",
        f"[The report]({page}). {states}; {spent} of computing, ended {ended} UTC"
        + (f", on {escape(record['hardware'])}." if record["hardware"] else "."),
        "\n".join(lines),
        *_left_out(entry),
    ]


def _left_out(entry: Entry) -> list[str]:
    """What the paper shows and no view stands for, with the reason."""
    contents = entry.file.suite.paper.contents
    left = [f"{what}: {why.not_rebuilt}" for what, why in contents.items() if isinstance(why, NotRebuilt)]
    return [f"Not rebuilt: {escape('. '.join(left))}."] if left else []


def _short(words: str, most: int = 140) -> str:
    return words if len(words) <= most else words[: most - 2].rsplit(" ", 1)[0] + " …"
