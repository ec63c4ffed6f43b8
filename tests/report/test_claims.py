"""Claims in a report: the sentence whole, what its checks test beside it, and what must hold before it is tried."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_sample import results, suite_with
from running import Ran

from retable.bench import report
from retable.bench.judging.words import SYMBOLS
from retable.bench.report import ledger

LONG = "Adam and its kin are in every respect better than " + "all that was tried before, " * 8 + "which is new."


def claim(these: str, than: str, **more: Any) -> dict[str, Any]:
    check = {"form": "below", "metric": "loss/total", "these": {"optimizer": these}, "than": {"optimizer": than}}
    return {"quote": LONG, "source": "section 5", "from": "defaults", "check": check, **more}


CLAIMS = {
    "adam-first": claim("adam", "rprop", reads="the loss of Adam is below that of RProp at the defaults"),
    "nadam-first": claim("nadam", "rprop", reads="the loss of NAdam is below that of RProp at the defaults."),
    "counted": claim("adam", "adadelta", quote="AdaDelta has the higher loss.", kind="identity"),
    "shaky": claim("adam", "adagrad", quote="AdaGrad is worse than Adam, too.", needs=["trained"], reads="as it says"),
}
PRECONDITIONS = {
    "trained": {"reads": "AdaGrad is better than Adam", "from": "defaults", "check": claim("adagrad", "adam")["check"]},
    "sound": {"reads": "AdaDelta is worse than Adam", "from": "defaults", "check": claim("adam", "adadelta")["check"]},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims")
    suite = suite_with(claims=CLAIMS, preconditions=PRECONDITIONS, figures={}, tables={})
    report.write(results(folder, suite), folder, ["md", "html", "latex", "csv"])
    return folder / "paintings"


def section(page: str, heading: str) -> str:
    return page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_a_sentence_stands_once_and_whole_with_its_readings_under_it(written: Path) -> None:
    summary = section((written / "quick.md").read_text(), "What was reproduced")
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    at = rows.index(f"| {LONG} |  |  |")
    assert rows[at + 1].startswith(
        "| ↳&nbsp;[adam-first](#adam-first)<br><sub>Tested: the loss of Adam is below that of RProp at the defaults."
        "</sub> | ✔&nbsp;reproduced | "
    )
    assert rows[at + 2].startswith("| ↳&nbsp;[nadam-first](#nadam-first)<br><sub>Tested: the loss of NAdam is below")
    assert summary.count(LONG) == 1
    html = (written / "quick.html").read_text()
    assert f'<td class="l" colspan="3">{LONG}</td>' in html
    tex = (written / "quick.tex").read_text()
    assert LONG in tex and r"\begin{longtable}" in tex
    assert "Tested: the loss of Adam is below that of RProp at the defaults. & \\textbf{reproduced}: " in tex


def test_what_a_check_tests_stands_with_every_verdict(written: Path) -> None:
    detail = section((written / "quick.md").read_text(), "Claims in detail")
    words = (
        f"### adam-first\n\n> {LONG}\n\nTested: the loss of Adam is below that of RProp at the defaults.\n\n✔ **repr"
    )
    assert words in detail
    assert "\n\nTested" not in detail.split("### counted")[1].split("###")[0]  # it does not say what it tests
    html = (written / "quick.html").read_text()
    assert html.count("Tested: the loss of NAdam is below that of RProp at the defaults.") == 2
    with (written / "quick" / "claims.csv").open() as file:
        rows = {row["claim"]: row for row in csv.DictReader(file)}
    assert rows["adam-first"]["reads"] == "the loss of Adam is below that of RProp at the defaults"
    assert (rows["counted"]["kind"], rows["counted"]["word"]) == ("identity", "reproduced")
    assert rows["shaky"]["needs"].startswith("AdaGrad is better than Adam: does not hold (adagrad below adam: ")


def test_what_must_hold_first_stands_above_the_claims_with_its_numbers(written: Path) -> None:
    summary = section((written / "quick.md").read_text(), "What was reproduced")
    first, rest = summary.split("| The paper says |")
    assert "| AdaGrad is better than Adam | does not hold | adagrad below adam: " in first
    assert "| AdaDelta is worse than Adam | holds | adam below adadelta: " in first
    (shaky,) = (line for line in rest.splitlines() if "#shaky" in line)
    assert "⊘&nbsp;not&nbsp;judgeable&nbsp;here | AdaGrad is better than Adam: does not hold (adagrad below" in shaky
    html = (written / "quick.html").read_text()
    assert "AdaGrad is better than Adam</td><td" in html
    assert '<span class="badge not-judgeable-here">⊘ not judgeable here</span>' in html
    for word in SYMBOLS:  # each has a colour of its own
        assert f".{word.replace(' ', '-').strip('()').replace('(', '')}" in html, word
    assert "does not hold: adagrad below adam" in (written / "quick.tex").read_text()


def test_identities_and_toys_are_counted_apart(written: Path, tmp_path: Path) -> None:
    page = (written / "quick.md").read_text()
    assert "Of 3 learned claims: 2 reproduced, 1 not judgeable here; of 1 identity: 1 reproduced." in page
    plain = suite_with(claims={"adam-first": CLAIMS["adam-first"]}, figures={}, tables={})
    assert "Of 1 claim: 1 reproduced." in report.write(results(tmp_path, plain), tmp_path).read_text()


def test_the_ledger_counts_what_was_learned_and_tells_opposites_and_sameness_apart(
    project: Path, bench: Callable[..., Ran]
) -> None:
    suite = project / "suites" / "toy.yaml"
    text = suite.read_text()
    own = text[text.index("  momentum-wins:") :]
    again = own.replace("momentum-wins", "{}")
    other = again.replace("{method: momentum}, than: {method: plain}", "{method: plain}, than: {method: momentum}")
    identity = again.replace("    source:", "    kind: identity\n    source:")
    made = [again.replace("{}", "again").replace("    source:", "    reads: as the first\n    source:")]
    suite.write_text(text + "".join([*made, other.replace("{}", "turned"), identity.replace("{}", "counted")]))
    ran = bench("run", "toy", "--workers", "1", "--where", "lr=0.01,experiment=grid")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("↗ momentum-wins: direction only; 2 seeds: direction only; momentum below plain")
    assert lines[2].startswith("↘ turned: direction only (opposite); ")
    assert lines[-1].startswith("report: ")
    (quick, *_) = ledger.read(project / "reports", [suite])
    words = {w: quick.count("claim", w) for w in ("direction only", "direction only (opposite)", "reproduced")}
    assert words == {"direction only": 2, "direction only (opposite)": 1, "reproduced": 0}
    assert quick.aside == "0 of 1"
    told = bench("status", "--json").json
    assert {r["name"]: (r["about"], r["reads"]) for r in told if r["scale"] == "quick" and r["kind"] == "claim"} == {
        "momentum-wins": ("learned", ""),
        "again": ("learned", "as the first"),
        "turned": ("learned", ""),
        "counted": ("identity", ""),
    }
    page = (project / "reports" / "README.md").read_text()
    assert "| ″<br><sub>Tested: as the first</sub> |" in page
    assert (
        bench("status")
        .out.splitlines()[0]
        .startswith(
            "toy quick: 2 direction only, 1 direction only (opposite); identities and toy claims: 0 of 1 hold; "
        )
    )


def test_claims_that_were_not_run_are_a_count_at_a_runs_end(tmp_path: Path) -> None:
    suite = suite_with(claims=CLAIMS, preconditions={**PRECONDITIONS}, figures={}, tables={})
    report.write(results(tmp_path, suite, change=lambda row: {"state": "missing"}), tmp_path)
    record = tmp_path / "paintings" / "quick.json"
    assert ledger.verdicts(record) == ["– 4 claims not run"]
    assert {v["verdict"] for v in json.loads(record.read_text())["views"] if v["kind"] == "claim"} == {"not run"}
