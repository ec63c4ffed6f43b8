"""The tables and figures as LaTeX with booktabs: `\\input` the file, or take a table from it."""

from __future__ import annotations

import re
import unicodedata

from retable.bench.numbers import Number
from retable.bench.report.drawn import Drawn, Picture
from retable.bench.report.page import Page, tested
from retable.bench.report.tables import Built, Entry
from retable.bench.report.words import capital, in_paper, sentences

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": "--",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "…": r"\ldots{}",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "√": r"$\surd$",
    "∇": r"$\nabla$",
    "‖": r"$\|$",
    "“": "``",
    "”": "''",
    "–": "--",
    "\u2009": r"\,",
    "\u202f": r"\,",
    "\u00a0": "~",
}
_LATIN_SHAPED = {
    **{capital: capital[0] for capital in ("Alpha", "Beta", "Epsilon", "Zeta", "Eta", "Iota", "Kappa", "Tau")},
    **{"Mu": "M", "Nu": "N", "Omicron": "O", "omicron": "o", "Rho": "P", "Chi": "X"},
}
"""Greek letters that LaTeX has no command for, since they look like Latin ones."""
_POWER = re.compile("10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
PREAMBLE = (
    "% Needs \\usepackage{booktabs,graphicx,longtable} and \\usepackage[T1]{fontenc}; run LaTeX in this folder, or\n"
    "% set \\graphicspath to it. Written by `bench report`; do not edit.\n"
)


def render(page: Page) -> str:
    """Every table of the page, then every figure that could be drawn."""
    head = f"{PREAMBLE}% Suite {page.suite}, scale {page.scale}: {page.status}.\n"
    drawn = [_figure(page, d, d.picture) for d in page.figures if d.picture]
    tables = [_table(page, built) for built in page.tables if built.shown]
    return head + "\n" + "\n".join([*([_claims(page)] if page.verdicts else []), *tables, *drawn])


def _claims(page: Page) -> str:
    """Every sentence whole, under it what its checks test and the verdicts; above them what must hold first."""
    first = [(f"{capital(c.reads)}.", escape(f"{c.state}: {c.numbers}.")) for c in page.conditions]
    lines = [
        r"\begin{longtable}{p{.58\linewidth}p{.36\linewidth}}",
        rf"  \caption{{{escape(page.tally)}}} \\",
        r"  \toprule",
        *(rf"  {escape(reads)} & {how} \\" for reads, how in first),
    ]
    for quote, readings in page.quotes:
        lines += [r"  \midrule", rf"  \multicolumn{{2}}{{p{{.96\linewidth}}}}{{``{escape(quote)}''}} \\"]
        for verdict in readings:
            said = escape(tested(verdict) or verdict.name)
            lines.append(rf"  {said} & \textbf{{{escape(verdict.label)}}}: {escape(verdict.basis)}. \\")
    return "\n".join([*lines, r"  \bottomrule", r"\end{longtable}", ""])


def file_of(picture: Picture) -> str:
    """The name of a picture's file for LaTeX, which reads no SVG: drawings are PDF there."""
    return f"{picture.file.rpartition('.')[0]}.pdf" if picture.drawing is not None else picture.file


def _figure(page: Page, drawn: Drawn, picture: Picture) -> str:
    width = f"{min(1, picture.width / 820):.2f}"  # as on the other pages, where the text is 820 pixels wide
    said = sentences(f"{drawn.figure.title}.", *drawn.said, _source(drawn.figure.source))
    return "\n".join(
        [
            r"\begin{figure}",
            r"  \centering",
            rf"  \includegraphics[width={width}\linewidth]{{{page.scale}/{file_of(picture)}}}",
            rf"  \caption{{{escape(said)}}}",
            rf"  \label{{{_label('fig', page.suite, drawn.name)}}}",
            r"\end{figure}",
            "",
        ]
    )


def _label(kind: str, suite: str, name: str) -> str:
    return f"{kind}:{suite}-{re.sub('[^A-Za-z0-9]+', '-', name)}"


def _table(page: Page, built: Built) -> str:
    columns, head, rules, below, at = "l", [""], [], [""], 2
    for name in built.table.columns:
        label = escape(built.heading(name))
        if name in built.with_published:
            columns += "rr"
            head.append(rf"\multicolumn{{2}}{{c}}{{{label}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + 1}}}")
            below += [escape(built.published_heading(name)), "ours"]
            at += 2
        else:
            columns += "r"
            head.append(label)
            below.append("")
            at += 1
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_caption(page, built)}}}",
        rf"  \label{{{_label('tab', page.suite, built.name)}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {' & '.join(head)} \\\\",
    ]
    if rules:
        lines += [f"    {' '.join(rules)}", f"    {' & '.join(below)} \\\\"]
    lines.append(r"    \midrule")
    for key, label in built.rows.items():
        cells = [rf"\emph{{{escape(label)}}}" if key in built.references else escape(label)]
        for name in built.table.columns:
            entry = built.entries[key][name]
            if name in built.with_published:
                cells.append(_spell(entry.papers(built.table.columns[name])))
            cells.append(_ours(built, name, entry))
        lines.append(f"    {' & '.join(cells)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _caption(page: Page, built: Built) -> str:
    about = page.book.suite.scales[page.scale].about.rstrip(".")
    title, where, source = f"{built.table.title}.", f"Scale {page.scale}: {about}.", _source(built.table.source)
    said = [f"{built.rows[key]} ({what})" for key, what in built.references.items()]
    references = f"In italics references, no methods of the paper: {'; '.join(said)}." if said else ""
    return escape(sentences(title, built.ours, where, built.table.note, references, built.caution, source))


def _source(source: str) -> str:
    return in_paper(source) if source else ""


def _ours(built: Built, column: str, entry: Entry) -> str:
    shown = _spell(entry.ours(built.table.columns[column]))
    marks = (r"$^{\dagger}$" if entry.stale else "") + (r"$^{\ast}$" if entry.state == "partial" else "")
    return shown + marks


def _spell(value: Number | str) -> str:
    return value.latex().replace("∞", r"\infty") if isinstance(value, Number) else escape(value)


def escape(words: str) -> str:
    """Plain words as LaTeX, powers of ten included."""
    parts, last = [], 0
    for match in _POWER.finditer(words):
        parts.append(_escaped(words[last : match.start()]))
        parts.append(f"$10^{{{match[0][2:].translate(_DIGITS)}}}$")
        last = match.end()
    return "".join([*parts, _escaped(words[last:])])


def _escaped(words: str) -> str:
    return "".join(_SPECIAL.get(c) or _letter(c) for c in words)


def _letter(c: str) -> str:
    """Greek letters, raised and lowered digits as mathematics; Latin letters stay; what LaTeX lacks is named."""
    if c < "\u0180":
        return c
    name = unicodedata.name(c, "")
    if name.startswith("GREEK ") and " LETTER " in name and " WITH " not in name:
        letter = name.rpartition(" ")[2].lower()
        letter = {"lamda": "lambda"}.get(letter, letter)
        if name.startswith("GREEK CAPITAL"):
            letter = letter.capitalize()
        return _LATIN_SHAPED.get(letter) or rf"$\{letter}$"
    plain = unicodedata.normalize("NFKD", c)
    if name.startswith("SUPERSCRIPT"):
        return f"$^{{{plain}}}$"
    if name.startswith("SUBSCRIPT"):
        return f"$_{{{plain}}}$"
    return rf"[U+{ord(c):04X}]"
