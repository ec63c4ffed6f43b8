"""The report as one self-contained HTML file: it asks the network for nothing, and its policy forbids it to.

Tables sort by a click on a heading, pictures of an images figure can be laid over each other with a slider, and
curves tell their values under the pointer; without scripts everything is still there. Light or dark as the reader's
system is. The markup is in `templates/`, where every word is escaped; `page.css` and `page.js` go in as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from retable.bench.judging import views
from retable.bench.judging.words import SYMBOLS
from retable.bench.report import layout, style
from retable.bench.report.page import AGREE, COMPLETE, ELSEWHERE, Page, beside, comparisons, tested
from retable.bench.report.words import capital, in_paper


def render(page: Page) -> str:
    """The whole file."""
    return (
        _templates()
        .get_template("page.html")
        .render(
            page=page,
            suite=page.book.suite,
            paper=page.book.suite.paper,
            figures=[drawn for drawn in page.figures if drawn is not page.hero],
            states=views.states(page.book.trials),
            trials=len(page.book.trials),
            css=_own("page.css"),
            js=_own("page.js"),
        )
    )


def _own(name: str) -> Markup:
    """A file of ours that is what it is, not words."""
    return Markup(files("retable.bench.report").joinpath(name).read_text(encoding="utf-8"))


def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("retable.bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.policies["json.dumps_kwargs"] = {"sort_keys": False}
    made.globals.update(symbols=SYMBOLS, agree=AGREE, complete=COMPLETE, elsewhere=ELSEWHERE)
    made.globals.update(lay_out=layout.lay_out, selection=layout.selection, comparisons=comparisons)
    made.filters.update(uri=_uri, pictures=_pictures, in_paper=in_paper, capital=capital, beside=beside, tested=tested)
    return made


def _uri(data: bytes) -> str:
    kind = {"svg": "svg+xml", "jpg": "jpeg"}.get(style.kind(data), "png")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _pictures(tiles: Iterable[tuple[str, bytes]]) -> list[dict[str, str]]:
    """Single pictures for the script that lays two over each other."""
    return [{"label": label, "src": _uri(data)} for label, data in tiles]
