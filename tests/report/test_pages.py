"""The report as files: Markdown and HTML say everything, link to what exists, and are the same each time."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_sample import HERE, results, sample_suite, suite_with, troubled

from retable.bench import report
from retable.bench.report import latex
from retable.bench.report.github import slug


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report.write(results(folder / "artifacts", change=troubled), folder / "out", ["md", "html", "latex", "csv"])
    return folder / "out" / "paintings"


def test_files_lie_where_the_docs_say(written: Path) -> None:
    assert {p.name for p in written.iterdir()} == {"quick.md", "quick.json", "quick.html", "quick.tex", "quick"}
    names = {p.name for p in (written / "quick").iterdir()}
    assert {"values.csv", "trials.csv", "figure2.svg", "figure3.svg", "figure4.svg", "figure5.svg"} <= names
    assert {"figure2.pdf", "figure3.pdf", "figure4.pdf", "figure5.pdf"} <= names and "figure1.pdf" not in names


def test_markdown_links_are_relative_and_lead_somewhere(written: Path) -> None:
    text = (written / "quick.md").read_text()
    pictures = re.findall(r'src="([^"]+)"', text)
    assert len(pictures) == 7
    assert all((written / picture).is_file() for picture in pictures)
    headings = {slug(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")}
    anchors = re.findall(r"\(#([^)]+)\)", text)
    assert anchors and set(anchors) <= headings
    outside = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https://doi.org/")]
    assert outside == []


def test_verdicts_come_first_then_a_picture_then_tables(written: Path) -> None:
    text = (written / "quick.md").read_text()
    order = [text.index(part) for part in ("## What was reproduced", "quick/figure1", "## Tables", "## Figures")]
    assert order == sorted(order)


def test_every_line_of_a_markdown_table_has_the_same_cells(written: Path) -> None:
    width = 0
    for line in (written / "quick.md").read_text().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (width and cells) or cells == width, line
        width = cells


def test_everything_that_went_wrong_is_listed(written: Path) -> None:
    for name in ("quick.md", "quick.html"):
        text = (written / name).read_text()
        for words in (
            "diverged at step 41",
            "collapsed: every output is a constant picture",
            "RuntimeError: out of memory",
            "stale: its code has changed since",
            "not run",
        ):
            assert words in text
        assert "40 hours on one GPU" in text
        assert "6c1f2d0e8a" in text and "Imagined CPU" in text


def test_published_values_that_disagree_are_shown_and_announced(tmp_path: Path) -> None:
    longer = {"of": "table1/rprop/time", "minus": "table1/adagrad/time", "states": 3, "quote": "three hours longer"}
    declared = {
        "adam-rate": {"about": "best learning rate of Adam", "same": ["table1/adam/lr", "table1/adadelta/lr"]},
        "rprop-hours": {"about": "hours of RProp over AdaGrad", "difference": longer},
    }
    suite = suite_with(consistency=declared, figures={})
    report.write(results(tmp_path / "artifacts", suite), tmp_path, ["md", "html"])
    for name, mark in (("quick.md", "**disagree**"), ("quick.html", "<b>disagree</b>")):
        text = html.unescape((tmp_path / "paintings" / name).read_text())
        said = "The paper's own numbers disagree in 1 of 2 checks: best learning rate of Adam."
        assert text.count(said) == 2
        assert text.index(said) < text.index("Do the paper's numbers agree?")
        assert text.count(mark) == 1
        assert "0.001 (Table 1, Adam, lr); 0.1 (Table 1, AdaDelta, lr)" in text
        assert "8.6 − 5.6 = 3 (Table 1, RProp, time, less Table 1, AdaGrad, time)" in text


def test_a_table_beyond_its_scale_is_a_grid_only_where_the_paper_prints_numbers(tmp_path: Path) -> None:
    seen = suite_with().model_dump(by_alias=True, exclude_unset=True)["tables"]
    tables = {name: {**seen[name], "not_at": {"quick": "too dear"}} for name in ("table1", "table2")}
    report.write(results(tmp_path / "artifacts", suite_with(tables=tables, figures={})), tmp_path, list(report.FORMATS))
    text = (tmp_path / "paintings" / "quick.md").read_text()
    first, second = text[text.index("### table1") : text.index("## Claims")].split("### table2")
    assert "> Not run at scale `quick`: too dear" in first and "| AdaGrad | 0.01 |" in first
    assert "> Not run at scale `quick`: too dear" in second and "|" not in second
    page = (tmp_path / "paintings" / "quick.html").read_text()
    first, second = page[page.index('id="table1"') : page.index('id="claims"')].split('id="table2"')
    assert "Not run at this scale: too dear" in first and "<table" in first
    assert "Not run at this scale: too dear" in second and "<table" not in second
    assert re.findall(r"tab:[a-z0-9-]+", (tmp_path / "paintings" / "quick.tex").read_text()) == ["tab:paintings-table1"]


class _Balanced(HTMLParser):
    """Checks nesting and collects what would be loaded from elsewhere."""

    VOID = ("meta", "img", "br", "input", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.anchors: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("img", "script", "link", "iframe") and not str(given.get("src", "data:")).startswith("data:"):
            self.outside.append(str(given))
        if str(given.get("href", "")).startswith("#"):
            self.anchors.add(str(given["href"])[1:])
        if given.get("id"):
            self.ids.add(str(given["id"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_asks_the_network_for_nothing(written: Path) -> None:
    text = (written / "quick.html").read_text()
    parser = _Balanced()
    parser.feed(text)
    assert parser.open == []
    assert parser.outside == []
    assert parser.anchors <= parser.ids
    assert "Content-Security-Policy" in text and "default-src 'none'" in text
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", text)


NASTY = '</script><script>alert(1)</script> | *bold* `code` [x](http://x) & "quoted" <!--'


class _Words(_Balanced):
    """Collects scripts, and every word that a reader sees or a pointer shows."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        self.words += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.words).append(data)


def test_words_of_a_suite_are_never_markup(tmp_path: Path) -> None:
    """Wherever a suite has words of its own: each says the same thing, which would break out of anything."""
    data = sample_suite().model_dump(by_alias=True, exclude_unset=True)
    for view in (*data["tables"].values(), *data["figures"].values()):
        view |= {"title": NASTY, "note": NASTY, "source": NASTY}
    for claim in data["claims"].values():
        claim |= {"quote": NASTY, "note": NASTY, "source": NASTY, "reads": NASTY}
    data["figures"]["figure2"]["labels"] = {"adam": NASTY}
    data["figures"]["figure1"]["labels"] = {"adam": NASTY}
    data["tables"]["table1"]["labels"]["adam"] = NASTY
    data["tables"]["table1"]["columns"]["loss"] |= {"label": NASTY, "unit": NASTY}
    data["tables"]["table1"]["published"]["nadam"]["time"] = {"not_published": NASTY}
    data["paper"] |= {"title": NASTY, "venue": NASTY, "authors": [NASTY], "url": 'https://x.y/?a=1&b="2"'}
    data |= {"about": NASTY, "notes": [NASTY]}
    report.write(results(tmp_path, suite_with(**data), change=troubled), tmp_path, ["md", "html"])
    parser = _Words()
    parser.feed((tmp_path / "paintings" / "quick.html").read_text())
    assert parser.open == [] and parser.outside == []
    assert sum(NASTY in words for words in parser.words) > 40
    data_blocks, own = parser.scripts[:-1], parser.scripts[-1]
    assert own.strip().startswith('"use strict"') and "alert(1)" not in own
    assert any(NASTY in json.dumps(json.loads(block), ensure_ascii=False).replace('\\"', '"') for block in data_blocks)
    text = (tmp_path / "paintings" / "quick.md").read_text()
    assert "<script" not in text
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; \| \*bold\* \`code\` \[x\]" in text


def test_the_same_results_give_the_same_bytes_and_old_pictures_go(tmp_path: Path, written: Path) -> None:
    folder = tmp_path / "paintings" / "quick"
    before = suite_with(figures={"figure99": sample_suite().figures["figure3"].model_dump(by_alias=True)})
    report.write(results(tmp_path / "artifacts", before), tmp_path, ["md"])
    old, own = folder / "figure99.svg", folder / "own.png"
    own.write_bytes(b"a picture of the user's own")
    assert old.is_file()
    path = report.write(results(tmp_path / "artifacts", change=troubled), tmp_path, ["md"])
    assert path.read_text() == (written / "quick.md").read_text()
    assert not old.exists() and own.exists()
    ours = json.loads((folder / "written.json").read_text())
    assert {picture.name for picture in folder.iterdir()} == {*ours, "written.json", "own.png"}
    for picture in ours:
        assert (folder / picture).read_bytes() == (written / "quick" / picture).read_bytes()
    assert not list(tmp_path.rglob(".*"))


def test_nothing_run_at_all_still_makes_a_report(tmp_path: Path) -> None:
    path = report.write(
        results(tmp_path, change=lambda row: {"state": "missing"}), tmp_path, ["md", "html", "latex", "csv"]
    )
    text = path.read_text()
    assert "176 trials: 176 not run" in text
    assert "| grid | all 128 trials |  | not run |" in text
    assert "Of 6 claims: 6 not run." in text


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown report format pdf; known: md, html, latex, csv"):
        report.write(results(tmp_path), tmp_path, ["pdf"])


def test_what_the_environment_says_to_matplotlib_is_no_matter(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\n"
        "import report_sample\n"
        "from retable.bench import report\n"
        "print(report.write(report_sample.results(Path('.')), Path('out')).name, os.environ['MPLBACKEND'])\n"
    )
    asked = {**os.environ, "MPLBACKEND": "no such backend"}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=asked, capture_output=True, text=True)
    assert ran.stdout.split() == ["quick.md", "no", "such", "backend"], ran.stderr


def test_reports_import_neither_torch_nor_mlflow() -> None:
    code = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import report_sample
from retable.bench import report
from retable.bench.report import latex
folder = Path(tempfile.mkdtemp())
report.write(report_sample.results(folder), folder, ["md", "html", "latex", "csv"])
print([name for name in ("torch", "mlflow", "optuna") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, str(HERE)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no TeX on this machine: apt install texlive-latex-recommended"
)
def test_the_latex_tables_and_figures_compile(written: Path, tmp_path: Path) -> None:
    odd = "naïve η ≤ 10⁻³, α₀ → Ω, “quoted” ‖x‖ 漢 Eta: Η" + "".join(map(chr, range(0x391, 0x3CA)))
    (tmp_path / "odd.tex").write_text(latex.escape(odd), encoding="utf-8")
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}\\begin{document}\n"
        f"\\input{{quick.tex}}\n\\input{{{tmp_path / 'odd.tex'}}}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}"]
    made = subprocess.run(
        [*command, str(tmp_path / "all.tex")],
        cwd=written,
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
    )
    assert made.returncode == 0, made.stdout[-2000:]
    assert (tmp_path / "all.pdf").read_bytes().count(b"/FormType") >= 3  # the drawings are drawings there too


def test_html_curves_carry_their_values(written: Path) -> None:
    """What the pointer tells is what was logged: the last point of every line is the last mean of its seeds."""
    found = re.search(
        r'<div class="chart"><script type="application/json">(.*?)</script>', (written / "quick.html").read_text()
    )
    assert found
    chart = json.loads(found[1])
    assert [line["label"] for line in chart["panels"][0]["lines"]]
    for line in chart["panels"][0]["lines"]:
        steps = [x for x, _ in line["points"]]
        assert steps == sorted(set(steps)) and len(steps) > 1
