"""The report as Markdown for GitHub: verdicts first, then tables and figures, then where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retable.bench.judging.verdicts import Verdict
from retable.bench.judging.words import SYMBOLS
from retable.bench.numbers import Number
from retable.bench.report import layout
from retable.bench.report.drawn import Drawn
from retable.bench.report.github import attribute, escape, fold, grid, slug
from retable.bench.report.layout import Line, Side
from retable.bench.report.page import AGREE, COMPLETE, ELSEWHERE, Page, beside, comparisons, tested
from retable.bench.report.tables import Built
from retable.bench.report.words import Listing, capital, in_paper

MOST_COMPARISONS = 12
"""Of a claim; the page on GitHub has no room for those that hold better. `html` has them all."""


def render(page: Page, folder: str) -> str:
    """The whole report. `folder`: where its pictures lie, relative to the file."""
    parts = [
        _head(page),
        _summary(page),
        _hero(page, folder),
        *_section("Tables", [_table(page, built) for built in page.tables]),
        *_section("Figures", [_figure(page, drawn, folder) for drawn in page.figures]),
        *_section("Claims in detail", [_claim(v) for v in page.verdicts]),
        *_section(AGREE, [_consistency(page)]),
        *_section("Notes", ["\n".join(f"- {escape(note)}" for note in page.book.suite.notes)]),
        _provenance(page),
        _missing(page),
        _again(page),
    ]
    return "\n\n".join(part for part in parts if part).rstrip() + "\n"


def _section(title: str, parts: Sequence[str]) -> list[str]:
    full = [part for part in parts if part]
    return [f"## {title}", *full] if full else []


def _head(page: Page) -> str:
    suite, paper = page.book.suite, page.book.suite.paper
    title = f"[{escape(paper.title)}]({page.link})" if page.link else f"*{escape(paper.title)}*"
    lines = [
        f"# {escape(paper.title)}",
        f"{escape(suite.about)}",
        f"{escape(', '.join(paper.authors))}: {title}, {escape(page.where)}.",
        f"**Scale `{page.scale}`**: {escape(suite.scales[page.scale].about)}",
        escape(page.ran),
    ]
    return "\n\n".join(lines)


def _summary(page: Page) -> str:
    if not page.verdicts:
        return ""
    rows = []
    for quote, readings in page.quotes:
        if len(readings) == 1:
            rows.append(_verdict_row(readings[0], f"[{escape(quote)}](#{slug(readings[0].name)})", tested(readings[0])))
            continue
        rows.append([escape(quote), "", ""])
        for verdict in readings:
            link = f"↳&nbsp;[{escape(verdict.name)}](#{slug(verdict.name)})"
            rows.append(_verdict_row(verdict, link, tested(verdict)))
    legend = "; ".join(f"{symbol} *{word}*: {meaning}" for symbol, word, meaning in page.legend)
    return "\n\n".join(
        [
            "## What was reproduced",
            page.tally,
            *([_listing(page.preconditions)] if page.conditions else []),
            grid(["The paper says", "Our runs say", "Judged by"], rows, "lll"),
            f"<sub>{legend}.</sub>" + (f"\n\n> {page.caution}" if page.caution else ""),
            *([f"{escape(page.slips)} [Details](#{slug(AGREE)})."] if page.slips else []),
        ]
    )


def _verdict_row(verdict: Verdict, link: str, reads: str) -> list[str]:
    said = f"{link}<br><sub>{escape(reads)}</sub>" if reads else link
    return [said, f"{SYMBOLS[verdict.word]}&nbsp;{_glue(verdict.label)}", escape(verdict.basis)]


def _glue(words: str) -> str:
    return words.replace(" ", "&nbsp;")


def _listing(listing: Listing) -> str:
    return grid([*map(escape, listing.head)], [[*map(escape, row)] for row in listing.rows], listing.align)


def _hero(page: Page, folder: str) -> str:
    return _picture(page.hero, folder) + "\n\n" + _caption(page.hero) if page.hero else ""


def _picture(drawn: Drawn, folder: str) -> str:
    picture = drawn.picture
    if picture is None:
        return f"> *Not drawn.* {escape(drawn.problem)}"
    return f'<img src="{folder}/{picture.file}" width="{picture.width}" alt="{attribute(picture.alt)}">'


def _caption(drawn: Drawn) -> str:
    parts = [f"**{escape(drawn.name)}**: {escape(drawn.figure.title)}.", *map(escape, drawn.said)]
    missing = f"\n\n<sub>{escape(drawn.missing)}</sub>" if drawn.missing else ""
    return " ".join([*parts, _source(drawn.figure.source)]) + missing


def _source(source: str) -> str:
    return f"*{escape(in_paper(source))}*"


def _figure(page: Page, drawn: Drawn, folder: str) -> str:
    heading = f"### {escape(drawn.name)}: {escape(drawn.figure.title)}"
    if page.hero is drawn:
        return f"{heading}\n\nShown [at the top](#what-was-reproduced)." if page.verdicts else ""
    return "\n\n".join([heading, _picture(drawn, folder), _caption(drawn)])


def _table(page: Page, built: Built) -> str:
    head, align = [escape(built.corner)], "l"
    for name in built.table.columns:
        label = escape(built.heading(name))
        paper = name in built.with_published
        head += [f"{label}<br>{escape(built.published_heading(name))}", f"{label}<br>**ours**"] if paper else [label]
        align += "rr" if paper else "r"
    laid = layout.lay_out(built)
    parts = [f"### {escape(built.name)}: {escape(built.table.title)}"]
    if built.problem:
        parts.append(f"> Not run at scale `{page.scale}`: {escape(built.problem)}")
    if built.shown:
        parts.append(grid(head, [[_row_label(line), *map(_side, line.sides)] for line in laid.rows], align))
    parts.append(" ".join([*map(escape, built.said), _source(built.table.source)]))
    if built.shown and laid.footnotes:
        parts.append("<br>\n".join(f"<sup>{mark}</sup> {escape(words)}" for mark, words in laid.footnotes))
    chosen = layout.selection(built)
    if chosen:
        parts.append(fold(escape(chosen.title), f"{_listing(chosen.lines)}\n\n{chosen.rule}"))
    return "\n\n".join(parts)


def _row_label(line: Line) -> str:
    label = escape(line.label)
    return f"*{label}*{_marks(line.reference)}" if line.reference else label


def _side(side: Side) -> str:
    shown = _glue(side.text) if isinstance(side.value, Number) else escape(side.text)
    return shown + _marks(side.marks)


def _marks(marks: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<sup>{mark}</sup>" for mark, _ in marks)


def _claim(verdict: Verdict) -> str:
    claim, every = verdict.claim, comparisons(verdict)
    parts = [
        f"### {verdict.name}",
        f"> {escape(claim.quote)}",
        escape(tested(verdict)),
        f"{SYMBOLS[verdict.word]} **{verdict.label}**. {escape(capital(verdict.basis))}.",
        " ".join(filter(None, [escape(beside(verdict)), _source(claim.source)])),
    ]
    if len(every.rows) > 1:
        rest = len(every.rows) - MOST_COMPARISONS
        more = f"\n\nand {rest} more that hold at least as well." if rest > 0 else ""
        body = _listing(replace(every, rows=every.rows[:MOST_COMPARISONS])) + more
        parts.append(fold(f"{len(every.rows)} comparisons, the worst first", body))
    elif every.rows:
        parts.append(f"{escape(capital(every.rows[0][1]))}.")
    return "\n\n".join(filter(None, parts))


def _consistency(page: Page) -> str:
    """Published values that state one thing, side by side. No run of ours is in it."""
    if not page.agreement:
        return ""
    rows = [
        [escape(about), "agree" if agrees else "**disagree**", escape(words)] for about, agrees, words in page.agreement
    ]
    return "\n\n".join([escape(page.slips), grid(["quantity", "values", "as published"], rows, "lll")])


def _provenance(page: Page) -> str:
    parts = ["## Where the numbers come from"]
    if page.facts:
        parts.append(_listing(Listing(("", ""), "ll", [(fact.name, fact.value) for fact in page.facts])))
    if page.declared:
        runs = [(d.name, d.task, d.size, d.varied, d.about) for d in page.declared]
        parts.append(_listing(Listing(("experiment", "task", "size", "varied", "about"), "lllll", runs)))
        fixed = "\n".join(f"- {escape(d.name)}: {escape(d.fixed)}" for d in page.declared if d.fixed)
        parts.append(fold("Fixed settings", fixed))
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _missing(page: Page) -> str:
    parts = ["## What is missing"]
    body = _listing(page.troubles) if page.trouble else COMPLETE
    parts.append(fold(page.fold_troubles, body) if page.fold_troubles else body)
    if page.elsewhere:
        parts.append(ELSEWHERE)
        parts.append("\n".join(f"- {escape(what)}: {escape(why)}" for what, why in page.elsewhere))
    return "\n\n".join(parts)


def _again(page: Page) -> str:
    body = "\n".join(page.commands)
    return (
        f"## Again\n\n```sh\n{body}\n```\n\nThe first trains what is missing; the second writes this page from MLflow."
    )
