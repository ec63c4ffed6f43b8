"""Reports: tables, figures and claims over results, rendered. Imports neither torch nor MLflow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench import files

if TYPE_CHECKING:
    from retable.bench.report.page import Page
    from retable.bench.results.frames import Results

FORMATS = ("md", "html", "latex", "csv")


def write(results: Results, out: Path, formats: Sequence[str] = ("md",)) -> Path:
    """Write the report of some results below `out` and return the file of the first format: `compose`, then `spell`."""
    return spell(compose(results, formats), out, formats)


def compose(results: Results, formats: Sequence[str] = ("md",)) -> Page:
    """What a report of some results in these formats says, its figures drawn where a format shows them.

    Raises ValueError for an unknown format, `views.ReportError` for a view that cannot be drawn as declared.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"unknown report format {', '.join(unknown) or '(none)'}; known: {', '.join(FORMATS)}")
    _load_matplotlib()
    from retable.bench.report import page

    return page.gather(results, draw=bool({"md", "html", "latex"} & set(formats)))


def spell(made: Page, out: Path, formats: Sequence[str]) -> Path:
    """Write what `compose` made for these formats below `out` and return the file of the first.

    md: `<suite>/<scale>.md` with its pictures in `<suite>/<scale>/`, and `<suite>/<scale>.json`, its record for the
    ledger. html: `<suite>/<scale>.html`, one self-contained file. latex: `<suite>/<scale>.tex`, tables and figures, and
    the figures as PDF, or as they are where they are made of photographs, in `<suite>/<scale>/`. csv:
    `<suite>/<scale>/values.csv`, `claims.csv` and `trials.csv`. The same results give the same bytes. Files are
    complete or not there; pictures of a former report that this one does not have are removed: those that
    `written.json` beside them lists.
    """
    from retable.bench.report import csv, html, latex, markdown, record, style, written

    folder = out / made.suite
    base = folder / made.scale
    pages: dict[str, Path] = {}
    if "csv" in formats:
        files.write(base / "trials.csv", csv.trials(made))
        files.write(base / "claims.csv", csv.claims(made))
        pages["csv"] = files.write(base / "values.csv", csv.values(made))
    pictures = [drawn.picture for drawn in made.figures if drawn.picture]
    if "latex" in formats:
        written.note(base, folder / f"{made.scale}.json", [latex.file_of(picture) for picture in pictures])
        for picture in pictures:
            data = style.pdf(picture.drawing) if picture.drawing else picture.data
            files.write(base / latex.file_of(picture), data)
        written.clear_pictures(base, [latex.file_of(picture) for picture in pictures], (".pdf",))
        pages["latex"] = files.write(folder / f"{made.scale}.tex", latex.render(made))
    if "html" in formats:
        pages["html"] = files.write(folder / f"{made.scale}.html", html.render(made))
    if "md" in formats:
        written.note(base, folder / f"{made.scale}.json", [picture.file for picture in pictures])
        for picture in pictures:
            files.write(base / picture.file, picture.data)
        pages["md"] = files.write(folder / f"{made.scale}.md", markdown.render(made, made.scale))
        files.write(folder / f"{made.scale}.json", record.render(made))
        written.clear_pictures(base, [picture.file for picture in pictures])
    return pages[formats[0]]


def _load_matplotlib() -> None:
    """Import matplotlib without what the environment says of a backend: a notebook's, or one that is not here, would
    end the import, and nothing is shown here."""
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
