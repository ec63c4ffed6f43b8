"""Tables: published beside measured, and in words why a value is missing."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from report_sample import FLAT, hit, results, sample_suite, suite_with, troubled

from retable.bench.judging import views
from retable.bench.judging.views import ReportError
from retable.bench.report import csv as csv_form
from retable.bench.report import html as to_html
from retable.bench.report import latex, layout, markdown, page, tables
from retable.bench.report.tables import Built


def built(tmp_path: Path, name: str = "table1", **options: Any) -> Built:
    book = views.read(results(tmp_path, **options))
    return tables.build(book, name, book.suite.tables[name])


def test_each_cell_has_both_sides_in_the_papers_order(tmp_path: Path) -> None:
    table = built(tmp_path)
    assert list(table.rows.values())[:3] == ["AdaGrad", "AdaDelta", "RProp"]
    entry = table.entries["rprop"]["lr"]
    assert (entry.published, entry.setting, entry.state) == (0.0001, "0.0001", "setting")
    loss = table.entries["rprop"]["loss"]
    assert (loss.published, loss.n, loss.sd) == (6.0191e6, 1, None)
    assert loss.measured == pytest.approx(36e6, rel=0.05)


def test_relative_columns_derive_both_sides_from_their_best(tmp_path: Path) -> None:
    table = built(tmp_path)
    ratio = {key: row["ratio"] for key, row in table.entries.items()}
    assert ratio["rmsprop"].published == 1.0
    assert ratio["rprop"].published == pytest.approx(6.0191 / 3.3217)
    assert min(e.measured or 9 for e in ratio.values()) == 1.0
    assert ratio["nadam"].measured == 1.0


def test_a_value_the_paper_lacks_says_why(tmp_path: Path) -> None:
    entry = built(tmp_path).entries["nadam"]["time"]
    assert (entry.published, entry.not_published) == (None, "the cell is blank in print")


def test_seeds_are_averaged_with_their_spread(tmp_path: Path) -> None:
    values = {0: 10.0, 1: 12.0, 2: 14.0}
    table = built(tmp_path, "table2", measured=lambda row, _: {"loss/total": values[row["seed"]]})
    entry = table.entries["adam"]["loss"]
    assert (entry.measured, entry.sd, entry.n) == (12.0, 2.0, 3)
    assert table.n == 3


@pytest.mark.parametrize(
    ("what", "state", "note"),
    [
        ({"state": "diverged", "reason": "loss is nan at step 40"}, "diverged", "diverged at step 40"),
        (
            {"state": "collapsed", "reason": "a constant picture", "loss/total": 2.418416e8},
            "collapsed",
            "collapsed: a constant picture (2.418·10⁸)",
        ),
        ({"state": "failed", "reason": "disk full"}, "failed", "failed: disk full"),
        ({"state": "missing"}, "not run", "not run"),
    ],
)
def test_a_lost_cell_says_what_happened(tmp_path: Path, what: dict[str, Any], state: str, note: str) -> None:
    table = built(
        tmp_path, "table2", change=lambda row: what if hit(row, experiment="defaults", optimizer="adam") else None
    )
    entry = table.entries["adam"]["loss"]
    assert (entry.state, entry.note, entry.measured) == (state, note, None)


def test_a_mean_over_some_of_the_seeds_is_marked(tmp_path: Path) -> None:
    entry = built(tmp_path, "table2", change=troubled).entries["adadelta"]["loss"]
    assert (entry.state, entry.n) == ("partial", 2)
    assert entry.note == "mean of 2 of 3 seeds; 1 diverged at step 7"
    entry = built(tmp_path, "table2", change=troubled).entries["adamax"]["loss"]
    assert (entry.state, entry.n) == ("partial", 2) and (entry.measured or 0) < 1e8
    assert entry.note == f"mean of 2 of 3 seeds; 1 collapsed: {FLAT} (2.418·10⁸)"


def test_a_collapsed_cell_is_the_word_with_its_number_in_a_footnote(tmp_path: Path) -> None:
    gone = {"state": "collapsed", "reason": FLAT, "loss/total": 2.4184e8}
    table = built(tmp_path, "table2", change=lambda row: gone if hit(row, optimizer="rprop") else None)
    laid = layout.lay_out(table)
    side = next(line.sides[0] for line in laid.rows if line.label == "rprop")
    assert (side.text, side.state, side.number) == ("collapsed", "collapsed", None)
    assert dict(laid.footnotes)[side.marks[0][0]] == f"collapsed: {FLAT} (2.418·10⁸)"


def test_stale_cells_are_marked(tmp_path: Path) -> None:
    table = built(tmp_path, "table3", change=lambda row: {"stale": True} if row["task"] == "unroll" else None)
    assert table.entries["deep"]["tv"].stale


def test_an_experiment_of_another_scale_keeps_its_published_value_and_reason(tmp_path: Path) -> None:
    entry = built(tmp_path, "table3").entries["large"]["tv"]
    assert (entry.published, entry.state, entry.note) == (0.29, "not here", "40 hours on one GPU")


def test_averaging_over_a_setting_is_refused_with_what_to_do(tmp_path: Path) -> None:
    columns = {"loss": {"metric": "loss/total"}}
    suite = suite_with(
        tables={"t": {"title": "x", "from": "grid", "rows": "optimizer", "columns": columns}}, figures={}
    )
    with pytest.raises(
        ReportError, match=r"tables\.t: row adagrad, column loss: 16 cells remain.*lr, batch_size.*where"
    ):
        built(tmp_path, "t", suite=suite)


def test_a_selection_tells_ties_spread_and_losses(tmp_path: Path) -> None:
    chosen = layout.selection(built(tmp_path, change=troubled))
    assert chosen is not None
    assert chosen.title == "How the best cell over lr, batch_size was chosen: ties and spread"
    assert chosen.lines.head == ("", "chosen", "loss/total", "ties with it", "highest / lowest", "lost cells")
    lines = {row: said for row, *said in chosen.lines.rows}
    assert lines["RMSProp"][-1] == "4 diverged of 16"
    assert lines["Nadam"][-1] == "1 failed of 16"
    assert lines["AdaMax"][-1] == "1 not run of 16"
    assert lines["Adam"][-1] == "1 diverged of 16"
    assert lines["RProp"][-1] == "none of 16"
    assert lines["AdaGrad"][-1] == "1 collapsed of 16"
    assert lines["RProp"][3].startswith("×2.")
    assert lines["AdaDelta"][2] == "lr 0.1, batch_size 2"
    assert layout.selection(built(tmp_path, "table2")) is None


def test_equal_footnotes_share_a_letter_in_the_order_of_their_first_use(tmp_path: Path) -> None:
    gone = {"state": "failed", "reason": "RuntimeError: out of memory (network.py:88)"}
    table = built(
        tmp_path, "table2", change=lambda row: gone if hit(row, optimizer="rprop", experiment="defaults") else None
    )
    laid = layout.lay_out(table)
    sides = {line.label: line.sides for line in laid.rows}
    assert [side.state for side in sides["rprop"]] == ["failed", "failed"]
    assert [mark for side in sides["rprop"] for mark, _ in side.marks] == [laid.footnotes[0][0]] * 2 == ["a", "a"]
    assert len(laid.footnotes) == 1
    assert sides["adam"][0].number == table.entries["adam"]["loss"].measured
    assert "±" in sides["adam"][0].text and not sides["adam"][0].marks


@pytest.mark.parametrize(
    ("name", "scale", "missing", "cautioned"),
    [
        ("table1", "quick", False, True),
        ("table1", "paper", False, False),  # the paper's own scale
        ("table1", "quick", True, False),  # no number of ours
        ("table2", "quick", False, False),  # no number of the paper's
        ("table4", "quick", False, False),  # what is published is a setting
    ],
)
def test_a_caution_stands_where_a_metric_of_ours_is_beside_the_papers_in_every_form(
    tmp_path: Path, name: str, scale: str, missing: bool, cautioned: bool
) -> None:
    seen = sample_suite().model_dump(by_alias=True, exclude_unset=True)["tables"]
    first = seen["table1"]
    rates = {row: {"lr": cells["lr"]} for row, cells in first["published"].items()}
    columns = {name: first["columns"][name] for name in ("lr", "loss")}
    seen["table4"] = {**first, "published": rates, "columns": columns}
    suite = suite_with(tables={name: seen[name]}, figures={}, claims={}, notes=[])
    state = {"state": "missing"} if missing else {}
    made = page.gather(results(tmp_path, suite=suite, scale=scale, change=lambda row: state))
    assert [page.SMALLER in html.unescape(form) for form in (markdown.render(made, "x"), to_html.render(made))] == [
        cautioned
    ] * 2
    assert ("smaller than the paper" in latex.render(made)) == cautioned


def test_a_selection_without_a_winner_says_so(tmp_path: Path) -> None:
    gone = {"state": "diverged", "reason": "at step 2"}
    table = built(tmp_path, change=lambda row: gone if hit(row, experiment="grid", optimizer="adam") else None)
    assert (table.entries["adam"]["loss"].state, table.entries["adam"]["loss"].note) == (
        "diverged",
        "all 16 cells diverged",
    )
    flat = {"state": "collapsed", "reason": FLAT}
    table = built(tmp_path, change=lambda row: flat if hit(row, experiment="grid", optimizer="adam") else None)
    assert (table.entries["adam"]["loss"].state, table.entries["adam"]["loss"].note) == (
        "collapsed",
        "all 16 cells collapsed",
    )


def test_nothing_run_gives_a_table_of_published_values(tmp_path: Path) -> None:
    table = built(tmp_path, change=lambda row: {"state": "missing"})
    states = {e.state for row in table.entries.values() for e in row.values()}
    assert states == {"not run"}
    assert table.entries["adam"]["loss"].published == 3.5556e6


def test_csv_holds_every_value_unrounded_and_every_trial(tmp_path: Path) -> None:
    made = page.gather(results(tmp_path, change=troubled), draw=False)
    rows: list[Mapping[str, str]] = list(csv.DictReader(io.StringIO(csv_form.values(made))))
    assert len(rows) == 8 * 5 + 8 * 2 + 3 * 2
    (row,) = [r for r in rows if (r["table"], r["row"], r["column"]) == ("table1", "rprop", "loss")]
    assert (row["quantity"], float(row["published"])) == ("loss/total", 6.0191e6)
    assert float(row["measured"]) == made.tables[0].entries["rprop"]["loss"].measured
    trials = list(csv.DictReader(io.StringIO(csv_form.trials(made))))
    assert len(trials) == 128 + 24 + 24
    assert {t["state"] for t in trials} == {"finished", "diverged", "collapsed", "failed", "missing"}
    assert all(float(t["loss/total"]) for t in trials if t["state"] == "collapsed")


def test_latex_is_balanced_booktabs_without_raw_unicode(tmp_path: Path) -> None:
    text = latex.render(page.gather(results(tmp_path, change=troubled), draw=False))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(sample_suite().tables)
    for rule in (r"\toprule", r"\bottomrule"):
        assert text.count(rule) == len(sample_suite().tables) + 1, "the claims are a table, too"
    assert text.count(r"\midrule") >= len(sample_suite().tables)
    assert text.isascii()
    body = [line for line in text.splitlines() if line.startswith("    AdaGrad")]
    assert body[0].count("&") == 10
    assert r"$4.2293\cdot10^{6}$" in body[0]


@pytest.mark.parametrize(("values", "where"), [((3.0, 3.5, 4.0), "in"), ((5.0, 5.1, 5.2), "outside")])
def test_where_absolute_values_compare_each_cell_says_whether_the_published_one_fits(
    tmp_path: Path, values: tuple[float, ...], where: str
) -> None:
    def with_absolute(*scales: str) -> Built:
        columns = {"loss": {"metric": "loss/total"}, "ratio": {"metric": "loss/total", "relative_to": "lowest"}}
        table = {"title": "t", "from": "defaults", "rows": "optimizer", "columns": columns, "absolute": [*scales]}
        table |= {"published": {"adam": {"loss": 3.6}}}
        suite = suite_with(tables={"t": table}, figures={})
        return built(tmp_path, "t", suite=suite, measured=lambda row, _: {"loss/total": values[row["seed"]]})

    note = f"the published value lies {where} the 95 % prediction interval of ours"
    table = with_absolute("quick")
    assert table.entries["adam"]["loss"].note == note
    assert not table.entries["adam"]["ratio"].note and not table.entries["nadam"]["loss"].note
    assert note in [words for _, words in layout.lay_out(table).footnotes]
    assert not with_absolute("paper").entries["adam"]["loss"].note
