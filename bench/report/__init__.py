"""Reports: tables, figures and claims over results, rendered. Imports neither torch nor MLflow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retable.bench.results.frames import Results

FORMATS = ("md", "html", "latex", "csv")


def write(results: Results, out: Path, formats: Sequence[str] = ("md",)) -> Path:
    """Write the report of some results below `out` and return the file of the first format.

    md: `<suite>/<scale>.md` with its pictures in `<suite>/<scale>/`, and `<suite>/<scale>.json`, its record for the
    ledger. html: `<suite>/<scale>.html`, one
    self-contained file. latex: `<suite>/<scale>.tex`, tables and figures, and the figures as
    PDF, or as they are where they are made of photographs, in `<suite>/<scale>/`. csv: `<suite>/<scale>/values.csv` and
    `trials.csv`. The same results give the same bytes. Files are complete or not there; pictures that a
    former report wrote and this one does not have are removed: those that `written.json` beside them lists.
    Raises ValueError for an unknown format, `views.ReportError` for a view that cannot be drawn as declared.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"unknown report format {', '.join(unknown) or '(none)'}; known: {', '.join(FORMATS)}")
    _load_matplotlib()
    from retable.bench.files import write as write_file
    from retable.bench.report import csv, files, html, latex, markdown, page, record, style

    made = page.gather(results, draw=bool({"md", "html", "latex"} & set(formats)))
    folder = out / results.suite.suite
    base = folder / results.scale
    written: dict[str, Path] = {}
    if "csv" in formats:
        write_file(base / "trials.csv", csv.trials(made))
        written["csv"] = write_file(base / "values.csv", csv.values(made))
    pictures = [drawn.picture for drawn in made.figures if drawn.picture]
    if "latex" in formats:
        files.note(base, folder / f"{results.scale}.json", [latex.file_of(picture) for picture in pictures])
        for picture in pictures:
            data = style.pdf(picture.drawing) if picture.drawing else picture.data
            write_file(base / latex.file_of(picture), data)
        files.clear_pictures(base, [latex.file_of(picture) for picture in pictures], (".pdf",))
        written["latex"] = write_file(folder / f"{results.scale}.tex", latex.render(made))
    if "html" in formats:
        written["html"] = write_file(folder / f"{results.scale}.html", html.render(made))
    if "md" in formats:
        files.note(base, folder / f"{results.scale}.json", [picture.file for picture in pictures])
        for picture in pictures:
            write_file(base / picture.file, picture.data)
        written["md"] = write_file(folder / f"{results.scale}.md", markdown.render(made, results.scale))
        write_file(folder / f"{results.scale}.json", record.render(made))
        files.clear_pictures(base, [picture.file for picture in pictures])
    return written[formats[0]]


def _load_matplotlib() -> None:
    """Import matplotlib without what the environment says of a backend: a notebook's, or one that is not here, would
    end the import, and nothing is shown here."""
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
