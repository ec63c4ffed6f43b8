"""The report as one self-contained HTML file: it asks the network for nothing, and its policy forbids it to.

Tables sort by a click on a heading, pictures of an images figure can be laid over each other with a slider, and
curves tell their values under the pointer; without
scripts everything is still there. Light or dark as the reader's system is. `page.css` and `page.js` go into it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from retable.bench.judging.verdicts import MEANINGS, SYMBOLS, WORDS, Verdict
from retable.bench.judging.views import states
from retable.bench.numbers import Number
from retable.bench.report import style
from retable.bench.report.drawn import Drawn
from retable.bench.report.markdown import AGREE, MOST_COMPARISONS, capital, in_paper
from retable.bench.report.page import Page
from retable.bench.report.tables import Built, Entry, Footnotes, selection_lines, short_ours, tie_rule

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def render(page: Page) -> str:
    """The whole file."""
    paper = page.book.suite.paper
    own = files("retable.bench.report")
    css, js = (own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    main = "\n".join(
        [
            _head(page),
            _summary(page),
            _hero(page),
            _section("tables", "Tables", [_table(page, built) for built in page.tables]),
            _section("figures", "Figures", [_figure(d) for d in page.figures if d is not page.hero]),
            _section("claims", "Claims in detail", [_claim(v) for v in page.verdicts]),
            _section("agree", AGREE, _consistency(page)),
            _section("notes", "Notes", [_list(page.book.suite.notes)] if page.book.suite.notes else []),
            _provenance(page),
            _missing(page),
            _section("again", "Again", [f"<pre>{escape(chr(10).join(page.commands))}</pre>"]),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(paper.title)}: {escape(page.scale)}</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n<main>\n{main}\n</main>\n<script>\n{js}</script>\n</body>\n</html>\n"
    )


def _section(name: str, title: str, parts: Sequence[str]) -> str:
    return f'<section id="{name}">\n<h2>{title}</h2>\n' + "\n".join(parts) + "\n</section>" if parts else ""


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _fold(title: str, body: str, kind: str = "") -> str:
    return f'<details class="{kind}"><summary>{escape(title)}</summary>\n{body}\n</details>'


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A sortable table of escaped cells."""
    top = "".join(f'<th class="{a}" scope="col">{h}</th>' for h, a in zip(head, align, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f'<td class="{a}">{c}</td>' for c, a in zip(row, align, strict=True)) + "</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{top}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _head(page: Page) -> str:
    suite, paper = page.book.suite, page.book.suite.paper
    link = paper.url or (f"https://doi.org/{paper.doi}" if paper.doi else "")
    where = ", ".join(filter(None, [paper.venue, str(paper.year)]))
    where = f'<a href="{escape(link)}" rel="noreferrer">{escape(where)}</a>' if link else escape(where)
    tally = states(page.book.trials)
    total = max(1, len(page.book.trials))
    bar = "".join(
        f'<span class="{escape(s)}" style="flex:{n / total:.4f}" title="{n} {s}"></span>' for s, n in tally.items()
    )
    effort = f" {escape(page.effort)}." if page.effort else ""
    return (
        f"<header>\n<h1>{escape(paper.title)}</h1>\n<p>{escape(', '.join(paper.authors))}. {where}</p>\n"
        f'<p class="about">{escape(suite.about)}</p>\n'
        f'<p><span class="chip">{escape(page.scale)}</span> {escape(suite.scales[page.scale].about)}</p>\n'
        f'<div class="states" role="img" aria-label="{escape(page.status)}">{bar}</div>\n'
        f"<p class=quiet>{escape(page.status)}.{effort}</p>\n</header>"
    )


def _badge(verdict: Verdict) -> str:
    kind = verdict.word.replace(" ", "-")
    return f'<span class="badge {kind}">{SYMBOLS[verdict.word]} {escape(verdict.label)}</span>'


def _summary(page: Page) -> str:
    if not page.verdicts:
        return ""
    rows = [
        [
            f'<a href="#claim-{escape(v.name)}">{escape(v.claim.quote)}</a>'
            + (f"<br><small>{escape(v.name)}</small>" if page.said_twice(v) else ""),
            _badge(v),
            escape(v.basis),
        ]
        for v in page.verdicts
    ]
    used = [w for w in WORDS if any(v.word == w for v in page.verdicts)]
    legend = "".join(f"<dt>{SYMBOLS[w]} {w}</dt><dd>{escape(MEANINGS[w])}</dd>" for w in used)
    caution = f'<p class="caution">{escape(page.caution)}</p>' if page.caution else ""
    return _section(
        "verdicts",
        "What was reproduced",
        [
            f"<p>Of {len(page.verdicts)} claims: {page.tally}.</p>",
            _rows(["The paper says", "Our runs say", "Judged by"], rows, "lll").replace("scroll", "scroll verdicts", 1),
            _fold("How to read a verdict", f"<dl>{legend}</dl>"),
            caution,
            f'<p>{escape(page.slips)} <a href="#agree">Details</a>.</p>' if page.slips else "",
        ],
    )


def _hero(page: Page) -> str:
    return f"<section>\n{_figure(page.hero)}\n</section>" if page.hero else ""


def _uri(data: bytes) -> str:
    kind = {"svg": "svg+xml", "jpg": "jpeg"}.get(style.kind(data), "png")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _figure(drawn: Drawn) -> str:
    figure, picture = drawn.figure, drawn.picture
    said = [f"{capital(drawn.reading)}."] if drawn.reading else []
    said += [figure.note] if figure.note else []
    gaps = f"<br><small>Missing here: {escape('; '.join(drawn.gaps))}.</small>" if drawn.gaps and picture else ""
    caption = (
        f"<figcaption><b>{escape(drawn.name)}</b>: {escape(figure.title)}. {escape(' '.join(said))} "
        f"<i>{escape(in_paper(figure.source))}</i>{gaps}</figcaption>"
    )
    if picture is None:
        body = f'<p class="undrawn">Not drawn: {escape(drawn.problem)}</p>'
    else:
        body = f'<img src="{_uri(picture.data)}" width="{picture.width}" alt="{escape(picture.alt)}" loading="lazy">'
    return f'<figure id="{escape(drawn.name)}">\n{body}\n{caption}\n{_slider(drawn)}{_chart(drawn)}</figure>'


def _slider(drawn: Drawn) -> str:
    """Two pictures over each other with a slider between them; drawn by the script from the single tiles."""
    if len(drawn.tiles) < 2:
        return ""
    tiles = [{"label": label, "src": _uri(data)} for label, data in drawn.tiles]
    return _fold("Compare two of them", f'<div class="compare">{_data(tiles)}</div>', "comparison")


def _chart(drawn: Drawn) -> str:
    """The curves again, drawn by the script: values under the pointer, one line at a time on a phone too."""
    if drawn.chart is None or not any(panel["lines"] for panel in drawn.chart["panels"]):
        return ""
    return _fold("Values under the pointer", f'<div class="chart">{_data(drawn.chart)}</div>', "comparison")


def _data(value: object) -> str:
    """Data for the script: nothing in it can end its element."""
    safe = json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
    return f'<script type="application/json">{safe}</script>'


def _value(entry: Entry) -> str:
    """What a cell sorts by."""
    return "" if entry.measured is None else f' data-sort="{entry.measured!r}"'


def _table(page: Page, built: Built) -> str:
    table = built.table
    top, below = [f'<th rowspan="2" scope="col">{escape(table.rows) if isinstance(table.rows, str) else ""}</th>'], []
    for name in table.columns:
        label = escape(built.heading(name))
        if name in built.with_published:
            top.append(f'<th colspan="2" class="group" scope="colgroup">{label}</th>')
            below += [
                f'<th class="r paper" scope="col">{escape(built.published_heading(name))}</th>',
                '<th class="r">ours</th>',
            ]
        else:
            top.append(f'<th rowspan="2" class="r" scope="col">{label}</th>')
    rows, notes = [], Footnotes()
    for key, label in built.rows.items():
        cells = [f'<th scope="row">{escape(label)}</th>']
        for name, column in table.columns.items():
            entry = built.entries[key][name]
            if name in built.with_published:
                note = [f"not published: {entry.not_published}"] if entry.not_published else []
                at = f' data-sort="{entry.published!r}"' if isinstance(entry.published, float) else ""
                cells.append(f'<td class="r paper"{at}>{_spell(entry.papers(column))}{_marks(notes, note)}</td>')
            cells.append(_ours(built, name, entry, notes))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    said = [f"Ours: mean ± standard deviation over {built.n} seeds."] if built.n > 1 else []
    said += ["Ours: one seed."] if built.n == 1 else []
    said += [table.note] if table.note else []
    said += [page.caution] if page.caution and built.n and built.with_published else []
    lines = "<br>".join(f"<sup>{mark}</sup> {escape(words)}" for words, mark in notes.words.items())
    under = f'<p class="quiet">{lines}</p>\n' if lines else ""
    problem = f'<p class="undrawn">Not run at this scale: {escape(built.problem)}</p>' if built.problem else ""
    return (
        f'<h3 id="{escape(built.name)}">{escape(built.name)}: {escape(table.title)}</h3>\n{problem}'
        f'<div class="scroll"><table class="sortable numbers"><thead><tr>{"".join(top)}</tr>'
        f"<tr>{''.join(below)}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table></div>\n"
        f'<p class="quiet">{escape(" ".join(said))} <i>{escape(in_paper(table.source))}</i></p>\n'
        f"{under}{_selection(built)}"
    )


def _ours(built: Built, name: str, entry: Entry, notes: Footnotes) -> str:
    shown, said = short_ours(built, name, entry)
    bad = (
        " bad" if entry.state in ("diverged", "failed") else " quiet" if entry.state in ("not run", "not here") else ""
    )
    return f'<td class="r{bad}"{_value(entry)}>{_spell(shown)}{_marks(notes, said)}</td>'


def _marks(notes: Footnotes, said: Iterable[str]) -> str:
    return "".join(f'<sup title="{escape(words)}">{notes.mark(words)}</sup>' for words in said)


def _spell(value: Number | str) -> str:
    return escape(value.text() if isinstance(value, Number) else value)


def _selection(built: Built) -> str:
    lines = selection_lines(built)
    if not lines:
        return ""
    first = next(c for choices in built.selections.values() for c in choices)
    rows = [[escape(s) for s in (x.row, x.chosen, x.value, x.ties, x.spread, x.lost)] for x in lines]
    head = ["", "chosen", escape(first.metric), "ties with it", "highest / lowest", "lost cells"]
    title = f"How the best cell over {', '.join(first.over)} was chosen: ties and spread"
    return _fold(title, _rows(head, rows, "llrlrl") + f'<p class="quiet">{escape(tie_rule(built))}</p>')


def _claim(verdict: Verdict) -> str:
    claim = verdict.claim
    said = [f"{capital(note)}." for note in verdict.notes]
    said += [f"Read as: {claim.note}"] if claim.note else []
    body = [
        f'<article id="claim-{escape(verdict.name)}" class="claim">',
        f"<h3>{escape(verdict.name)}</h3>",
        f"<blockquote>{escape(claim.quote)}</blockquote>",
        f"<p>{_badge(verdict)} {escape(capital(verdict.basis))}.</p>",
        f'<p class="quiet">{escape(" ".join(said))} <i>{escape(in_paper(claim.source))}</i></p>',
    ]
    if len(verdict.judged) > 1:
        rows = [
            [escape(j.comparison.label), escape(j.comparison.numbers), escape(j.shown), j.outcome]
            for j in verdict.judged
        ]
        head = ["statement", "values", "difference or ratio", "says"]
        body.append(_fold(f"{len(rows)} comparisons, the worst first", _rows(head, rows, "llll")))
    elif verdict.judged:
        body.append(f'<p class="quiet">{escape(capital(verdict.judged[0].comparison.numbers))}.</p>')
    return "\n".join([*body, "</article>"])


def _consistency(page: Page) -> list[str]:
    rows = []
    for finding in page.consistency:
        says = "agree" if finding.agrees else "<b>disagree</b>"
        words = finding.words + (f". {capital(finding.support)}" if finding.support else "")
        rows.append([escape(finding.about), says, escape(words)])
    head = ["quantity", "values", "as published"]
    return [f"<p>{escape(page.slips)}</p>", _rows(head, rows, "lll")] if rows else []


def _provenance(page: Page) -> str:
    parts = []
    if page.facts:
        facts = "".join(f"<dt>{escape(f.name)}</dt><dd>{escape(f.value)}</dd>" for f in page.facts)
        parts.append(_fold("Machine, versions, commit", f'<dl class="facts">{facts}</dl>'))
    if page.declared:
        rows = [[escape(t) for t in (d.name, d.task, d.size, d.varied, d.fixed, d.about)] for d in page.declared]
        head = ["experiment", "task", "size", "varied", "fixed", "about"]
        parts.append(_fold("What was run", _rows(head, rows, "llllll")))
    return _section("provenance", "Where the numbers come from", parts)


def _missing(page: Page) -> str:
    parts = []
    if page.trouble:
        rows = [[escape(t.experiment), escape(t.cell), t.seed, escape(t.what)] for t in page.trouble]
        body = _rows(["experiment", "cell", "seed", "what"], rows, "llrl")
        title = f"{len(rows)} lines: what diverged, failed, is stale or was not run"
        parts.append(body if len(rows) <= MOST_COMPARISONS else _fold(title, body))
    else:
        parts.append("<p>Nothing: every trial of this scale finished, with the code as it stands.</p>")
    if page.elsewhere:
        parts.append("<p>Declared for other scales only:</p>" + _list(f"{what}: {why}" for what, why in page.elsewhere))
    return _section("missing", "What is missing", parts)
