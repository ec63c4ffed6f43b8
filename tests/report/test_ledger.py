"""The ledger: rows for everything that a suite declares, made from the records that reports leave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import ROOT, Ran

from retable.bench.report import ledger
from retable.bench.suite import loader
from retable.bench.suite.schema import NotPublished, NotRebuilt

Bench = Callable[..., Ran]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))


def rows(bench: Bench) -> dict[tuple[str, str, str], dict[str, object]]:
    found = bench("status", "--json")
    assert found.code == 0, found.err
    return {(row["scale"], row["kind"], row["name"]): row for row in found.json}


def test_a_row_for_every_view_before_and_after_a_run(project: Path, bench: Bench) -> None:
    before = rows(bench)
    assert {row["state"] for row in before.values()} == {"not run"}
    assert {scale for scale, _, _ in before} == {"quick", "long", "big"}
    assert bench("run", "toy", "--workers", "1", "--where", "experiment=grid").code == 0
    after = rows(bench)
    assert after.keys() == before.keys()
    table = after["quick", "table", "table1"]
    assert (table["state"], table["cells"], table["done"]) == ("rebuilt", 8, 8)
    assert table["when"] and table["hardware"] and not table["stale"]
    assert after["long", "table", "table1"]["state"] == "not run"
    assert bench("status").out.count("toy quick") == 1
    page = (project / "reports" / "README.md").read_text()
    assert "## Declared, not run here" in page and "toy/quick.md#table1" in page


def test_changed_code_and_changed_settings_show_as_stale(project: Path, bench: Bench) -> None:
    assert bench("run", "toy", "--workers", "1", "--where", "experiment=grid").code == 0
    helper = project / "toypaper" / "helper.py"
    was = helper.read_text()
    helper.write_text(was + "\n# a comment changes nothing\n")
    assert not rows(bench)["quick", "table", "table1"]["stale"]
    number = next(c for c in was if c.isdigit())
    helper.write_text(was.replace(number, "7" if number != "7" else "8", 1))
    assert rows(bench)["quick", "table", "table1"]["stale"] == "its code has changed"
    helper.write_text(was)
    suites = project / "suites" / "toy.yaml"
    suites.write_text(suites.read_text().replace("lr: {value: [0.5, 0.1,", "lr: {value: [0.6, 0.1,"))
    assert rows(bench)["quick", "table", "table1"]["stale"] == "its settings or data have changed"


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 0}'])
def test_a_record_that_cannot_be_read_is_named_with_the_mend(project: Path, bench: Bench, content: str) -> None:
    broken = project / "reports" / "toy" / "quick.json"
    broken.parent.mkdir(parents=True)
    broken.write_text(content)
    found = bench("status")
    assert found.code == 2 and "quick.json" in found.err and "bench report" in found.err


Change = Callable[[dict[str, Any]], object]


def edited(project: Path, change: Change) -> None:
    """The record of a run of the toy's grid, changed by hand as an older suite or code would have left it."""
    at = project / "reports" / "toy" / "quick.json"
    record = json.loads(at.read_text())
    change(record)
    at.write_text(json.dumps(record))


def test_a_record_is_read_as_it_is_whatever_the_suite_declares_now(project: Path, bench: Bench) -> None:
    assert bench("run", "toy", "--workers", "1", "--where", "experiment=grid").code == 0
    table = ("quick", "table", "table1")

    def forget(record: dict[str, Any]) -> None:
        record["views"] = [v for v in record["views"] if v["name"] != "table1"]

    def half(record: dict[str, Any]) -> None:
        next(v for v in record["views"] if v["name"] == "figure1")["done"] = 1

    def mixed(record: dict[str, Any]) -> None:
        record["code"]["grid"] = [*record["code"]["grid"], "an older one"]

    edited(project, half)
    edited(project, mixed)
    assert rows(bench)["quick", "figure", "figure1"]["state"] == "in part"
    assert rows(bench)[table]["stale"] == "its code has changed", "some runs had other code"
    edited(project, forget)
    assert rows(bench)[table]["state"] == "not run", "a table that came after the report"
    edited(project, lambda record: next(v for v in record["views"] if v["name"] == "figure1").update(problem="no run"))
    figure = rows(bench)["quick", "figure", "figure1"]
    assert (figure["state"], figure["reason"]) == ("not run", "no run")


def test_the_page_cuts_long_reasons_between_words_and_keeps_the_table_whole(project: Path, bench: Bench) -> None:
    assert bench("run", "toy", "--workers", "1", "--where", "experiment=grid").code == 0
    reason = "a | reason " * 30
    edited(project, lambda record: record["views"][-1].update(basis=reason))
    page = ledger.markdown(ledger.read(project / "reports", [project / "suites" / "toy.yaml"]))
    line = next(line for line in page.splitlines() if "momentum-wins" in line)
    assert re.search(r" (a|reason|\\\|) … \|", line) and len(line) < 400
    assert len(re.findall(r"(?<!\\)\|", line)) == 7


def test_the_committed_ledger_says_what_the_committed_reports_say() -> None:
    """Apart from what is stale, which every change of the code moves."""

    def settled(page: str) -> list[str]:
        lines = page.replace(" (stale in part)", "").splitlines()
        return [
            line.rsplit("|", 2)[0] if line.startswith(("| table", "| figure", "| claim")) else line for line in lines
        ]

    entries = ledger.read(ROOT / "reports", SUITES)
    committed = (ROOT / "reports" / "README.md").read_text(encoding="utf-8")
    assert settled(committed) == settled(ledger.markdown(entries)), "`bench report` of any suite writes it anew"


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_every_table_and_figure_of_the_paper_has_a_view(path: Path) -> None:
    found = loader.load(path).suite
    contents = found.paper.contents
    assert contents, "paper.contents lists what the paper shows"
    listed = {name for names in contents.values() if not isinstance(names, NotRebuilt) for name in names}
    for name, view in {**found.tables, **found.figures}.items():
        if view.source.startswith(("Table", "Figure")):
            assert name in listed, f"{name} says it is {view.source}, and paper.contents does not know it"


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_every_published_cell_has_a_value_or_a_reason(path: Path) -> None:
    for name, table in loader.load(path).suite.tables.items():
        columns = {column for row in table.published.values() for column in row}
        for row, cells in table.published.items():
            for column in columns:
                assert column in cells, f"{name}: {row}, {column}: publish a value or say {{not_published: why}}"
                value = cells[column]
                assert not isinstance(value, NotPublished) or value.not_published


def test_a_view_that_does_not_exist_is_no_content(project: Path, bench: Bench) -> None:
    at = project / "suites" / "toy.yaml"
    at.write_text(at.read_text().replace("  year: 2020\n", "  year: 2020\n  contents: {Table 1: tabel1}\n"))
    found = bench("plan", "toy")
    assert found.code == 2 and "toy.yaml:7:" in found.err and "'table1'" in found.err


def test_records_are_plain_json_without_nan(project: Path, bench: Bench) -> None:
    assert bench("run", "toy", "--workers", "1", "--where", "experiment=grid").code == 0
    record = json.loads((project / "reports" / "toy" / "quick.json").read_text(), parse_constant=pytest.fail)
    assert record["states"]["finished"] == 16


@pytest.mark.parametrize(
    "script",
    [
        "import retable.bench.report.ledger",
        "import sys; sys.argv = ['bench', 'status']\n"
        "from retable.bench.commands.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code",
    ],
    ids=["import", "bench status"],
)
def test_the_ledger_loads_nothing_that_computes_stores_or_draws(project: Path, script: str) -> None:
    heavy = ("torch", "mlflow", "matplotlib", "seaborn", "optuna", "jinja2")
    told = f"\nimport sys\nprint('HEAVY', sorted(set({heavy!r}) & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script + told], capture_output=True, text=True, check=True)
    assert ran.stdout.rstrip().endswith("HEAVY []"), ran.stdout[-300:]


def test_who_reads_the_ledger_imports_nothing_that_computes_or_draws() -> None:
    script = "import sys, retable.bench.report.ledger; print(sorted({'pandas', 'scipy', 'numpy'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
