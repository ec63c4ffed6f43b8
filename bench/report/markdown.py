"""The report as Markdown for GitHub: verdicts first, then tables and figures, then where the numbers come from."""

from __future__ import annotations

from collections.abc import Sequence

from retable.bench.judging.verdicts import MEANINGS, SYMBOLS, WORDS, Verdict
from retable.bench.numbers import Number
from retable.bench.report.drawn import Drawn
from retable.bench.report.github import attribute, clip, escape, fold, grid, slug
from retable.bench.report.page import Page
from retable.bench.report.tables import Built, Entry, Footnotes, selection_lines, short_ours, tie_rule

MOST_COMPARISONS = 12
FOLD_ABOVE = 12
"""Longer lists are folded; they are all there."""
AGREE = "Do the paper's numbers agree?"


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
    link = paper.url or (f"https://doi.org/{paper.doi}" if paper.doi else "")
    title = f"[{escape(paper.title)}]({link})" if link else f"*{escape(paper.title)}*"
    where = ", ".join(filter(None, [escape(paper.venue), str(paper.year)]))
    lines = [
        f"# {escape(paper.title)}",
        f"{escape(suite.about)}",
        f"{escape(', '.join(paper.authors))}: {title}, {where}.",
        f"**Scale `{page.scale}`**: {escape(suite.scales[page.scale].about)}",
        f"{escape(page.status)}." + (f" {page.effort}." if page.effort else "") + _machine(page),
    ]
    return "\n\n".join(lines)


def _machine(page: Page) -> str:
    return f" On {escape(page.machine)}." if page.machine else ""


def _summary(page: Page) -> str:
    if not page.verdicts:
        return ""
    rows = []
    for verdict in page.verdicts:
        quote = clip(verdict.claim.quote, 120)
        name = f"[{escape(quote)}](#{slug(verdict.name)})"
        name += f"<br><sub>{escape(verdict.name)}</sub>" if page.said_twice(verdict) else ""
        rows.append([name, f"{SYMBOLS[verdict.word]}&nbsp;{_glue(verdict.label)}", escape(clip(verdict.basis, 170))])
    used = [w for w in WORDS if any(v.word == w for v in page.verdicts)]
    legend = "; ".join(f"{SYMBOLS[w]} *{w}*: {MEANINGS[w]}" for w in used)
    return "\n\n".join(
        [
            "## What was reproduced",
            f"Of {len(page.verdicts)} claims: {page.tally}.",
            grid(["The paper says", "Our runs say", "Judged by"], rows, "lll"),
            f"<sub>{legend}.</sub>" + (f"\n\n> {page.caution}" if page.caution else ""),
            *([f"{escape(page.slips)} [Details](#{slug(AGREE)})."] if page.slips else []),
        ]
    )


def _glue(words: str) -> str:
    return words.replace(" ", "&nbsp;")


def _hero(page: Page, folder: str) -> str:
    return _picture(page.hero, folder) + "\n\n" + _caption(page.hero) if page.hero else ""


def _picture(drawn: Drawn, folder: str) -> str:
    picture = drawn.picture
    if picture is None:
        return f"> *Not drawn.* {escape(drawn.problem)}"
    return f'<img src="{folder}/{picture.file}" width="{picture.width}" alt="{attribute(picture.alt)}">'


def _caption(drawn: Drawn) -> str:
    figure = drawn.figure
    parts = [f"**{escape(drawn.name)}**: {escape(figure.title)}."]
    parts += [f"{escape(capital(drawn.reading))}."] if drawn.reading else []
    parts += [escape(figure.note)] if figure.note else []
    parts += [_source(figure.source)]
    text = " ".join(parts)
    if drawn.gaps and drawn.picture:
        text += "\n\n<sub>Missing here: " + "; ".join(escape(gap) for gap in drawn.gaps) + ".</sub>"
    return text


def _source(source: str) -> str:
    return f"*{escape(in_paper(source))}*"


def in_paper(source: str) -> str:
    """Where a view stands in the paper, as a sentence."""
    return f"In the paper: {source}." if source else "Not in the paper."


def capital(words: str) -> str:
    """With its first letter large."""
    return words[:1].upper() + words[1:]


def _figure(page: Page, drawn: Drawn, folder: str) -> str:
    heading = f"### {escape(drawn.name)}: {escape(drawn.figure.title)}"
    if page.hero is drawn:
        return f"{heading}\n\nShown [at the top](#what-was-reproduced)." if page.verdicts else ""
    return "\n\n".join([heading, _picture(drawn, folder), _caption(drawn)])


def _table(page: Page, built: Built) -> str:
    table = built.table
    heading = f"### {escape(built.name)}: {escape(table.title)}"
    notes = Footnotes()
    head, align = [escape(table.rows) if isinstance(table.rows, str) else ""], "l"
    for name in table.columns:
        label = escape(built.heading(name))
        if name in built.with_published:
            head += [f"{label}<br>{escape(built.published_heading(name))}", f"{label}<br>**ours**"]
            align += "rr"
        else:
            head.append(label)
            align += "r"
    rows = []
    for key, label in built.rows.items():
        row = [escape(label)]
        for name in table.columns:
            entry = built.entries[key][name]
            if name in built.with_published:
                row.append(_published(built, name, entry, notes))
            row.append(_ours(built, name, entry, notes))
        rows.append(row)
    parts = [heading]
    if built.problem:
        parts.append(f"> Not run at scale `{page.scale}`: {escape(built.problem)}")
    shown = not built.problem or bool(built.with_published)  # without a number at all, the line above says it
    parts += [grid(head, rows, align)] if shown else []
    said = [f"Ours: mean ± standard deviation over {built.n} seeds."] if built.n > 1 else []
    said += ["Ours: one seed."] if built.n == 1 else []
    said += [escape(table.note)] if table.note else []
    said += (
        [page.caution] if page.caution and built.n and any(_is_metric(built, c) for c in built.with_published) else []
    )
    said += [_source(table.source)]
    parts.append(" ".join(said))
    if notes.words and shown:
        parts.append("<br>\n".join(f"<sup>{mark}</sup> {escape(words)}" for words, mark in notes.words.items()))
    parts += _selection(built)
    return "\n\n".join(parts)


def _is_metric(built: Built, column: str) -> bool:
    return built.table.columns[column].metric is not None


def _sup(notes: Footnotes, words: str) -> str:
    return f"<sup>{notes.mark(words)}</sup>"


def _published(built: Built, column: str, entry: Entry, notes: Footnotes) -> str:
    shown = _spell(entry.papers(built.table.columns[column]))
    return shown + _sup(notes, f"not published: {entry.not_published}") if entry.not_published else shown


def _ours(built: Built, column: str, entry: Entry, notes: Footnotes) -> str:
    shown, said = short_ours(built, column, entry)
    return _spell(shown) + "".join(_sup(notes, words) for words in said)


def _spell(value: Number | str) -> str:
    return value.text().replace(" ", "&nbsp;") if isinstance(value, Number) else escape(value)


def _selection(built: Built) -> list[str]:
    lines = selection_lines(built)
    if not lines:
        return []
    first = next(c for choices in built.selections.values() for c in choices)
    rows = [[escape(s) for s in (x.row, x.chosen, x.value, x.ties, x.spread, x.lost)] for x in lines]
    body = grid(["", "chosen", first.metric, "ties with it", "highest / lowest", "lost cells"], rows, "llrlrl")
    title = f"How the best cell over {', '.join(first.over)} was chosen: ties and spread"
    return [fold(escape(title), f"{body}\n\n{tie_rule(built)}")]


def _claim(verdict: Verdict) -> str:
    claim = verdict.claim
    parts = [
        f"### {verdict.name}",
        f"> {escape(claim.quote)}",
        f"{SYMBOLS[verdict.word]} **{verdict.label}**. {escape(capital(verdict.basis))}.",
    ]
    said = [escape(capital(note)) + "." for note in verdict.notes]
    said += [f"Read as: {escape(claim.note)}"] if claim.note else []
    parts.append(" ".join([*said, _source(claim.source)]))
    if len(verdict.judged) > 1:
        rows = [
            [escape(j.comparison.label), escape(j.comparison.numbers), escape(j.shown), j.outcome]
            for j in verdict.judged[:MOST_COMPARISONS]
        ]
        body = grid(["statement", "values", "difference or ratio", "says"], rows, "llll")
        rest = len(verdict.judged) - len(rows)
        more = f"\n\nand {rest} more that hold at least as well." if rest else ""
        title = f"{len(verdict.judged)} comparisons, the worst first"
        parts.append(fold(title, body + more))
    elif verdict.judged:
        parts.append(f"{escape(capital(verdict.judged[0].comparison.numbers))}.")
    return "\n\n".join(parts)


def _consistency(page: Page) -> str:
    """Published values that state one thing, side by side. No run of ours is in it."""
    if not page.consistency:
        return ""
    rows = []
    for finding in page.consistency:
        says = "agree" if finding.agrees else "**disagree**"
        words = finding.words + (f". {capital(finding.support)}" if finding.support else "")
        rows.append([escape(finding.about), says, escape(words)])
    return "\n\n".join([escape(page.slips), grid(["quantity", "values", "as published"], rows, "lll")])


def _provenance(page: Page) -> str:
    rows = [[escape(fact.name), escape(fact.value)] for fact in page.facts]
    parts = ["## Where the numbers come from"]
    if rows:
        parts.append(grid(["", ""], rows, "ll"))
    runs = [[escape(d.name), escape(d.task), escape(d.size), escape(d.varied), escape(d.about)] for d in page.declared]
    if runs:
        parts.append(grid(["experiment", "task", "size", "varied", "about"], runs, "lllll"))
        fixed = "\n".join(f"- {escape(d.name)}: {escape(d.fixed)}" for d in page.declared if d.fixed)
        parts.append(fold("Fixed settings", fixed))
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _missing(page: Page) -> str:
    parts = ["## What is missing"]
    if page.trouble:
        rows = [[escape(t.experiment), escape(t.cell), t.seed, escape(t.what)] for t in page.trouble]
        body = grid(["experiment", "cell", "seed", "what"], rows, "llrl")
        if len(rows) > FOLD_ABOVE:
            title = f"{len(rows)} trials that diverged, failed, are stale or were not run"
            body = fold(title, body)
        parts.append(body)
    else:
        parts.append("Nothing: every trial of this scale finished, with the code as it stands.")
    if page.elsewhere:
        parts.append("Declared for other scales only:")
        parts.append("\n".join(f"- {escape(what)}: {escape(why)}" for what, why in page.elsewhere))
    return "\n\n".join(parts)


def _again(page: Page) -> str:
    body = "\n".join(page.commands)
    return (
        f"## Again\n\n```sh\n{body}\n```\n\nThe first trains what is missing; the second writes this page from MLflow."
    )
