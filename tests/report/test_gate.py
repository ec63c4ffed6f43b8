"""What `bench check` says: to a person, to a pull request, to a CI server; well-formed whatever the texts hold."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gating import TWO, held, sixteen, trial

from retable.bench import files
from retable.bench.judging.regression import Checked, compare
from retable.bench.report import gate

NASTY = 'a "quoted" <b>|pipe|</b>\nnext & \x1b[31mred\x1b[0m \udcff \x00 \ufffe ]]> é \U0001f600'


def nasty() -> Checked:
    return Checked("id", NASTY, "trial", "failed", NASTY)


def compared() -> list[Checked]:
    measured = [
        trial("t0"),
        trial("t1", 1.05),
        trial("t2", None, "missing"),
        trial("t3", None, "gone"),
        trial("t4", None, "failed", reason="out of memory"),
        trial("u"),
        trial("t5", 1.001, platform=TWO),
    ]
    return compare(held(*(trial(f"t{i}") for i in range(6))), measured, Path("toy.json"))


def test_text_says_how_many_held_by_which_tolerance_and_what_did_not() -> None:
    said = gate.text(compared()).splitlines()
    assert said[0] == "6 numbers held, 2 moved, 1 trial missing, 1 trial gone, 1 trial failed, 1 trial new"
    assert said[1] == "  4 numbers: same platform: equal to rounding, 1e-06"
    assert said[2].startswith("  2 numbers: threads 1 → 2: not measured, assumed") and said[2].endswith("0.05")
    assert [" ".join(line.split()) for line in said[3:]] == [
        "trial what baseline now moved by allowed",
        "moved grid: t1 loss at step 0 10 10.5 5.00% 1.0e-06",
        "moved grid: t1 loss 1 1.05 5.00% 1.0e-06",
        "missing grid: t2 not run",
        "gone grid: t3 in the baseline, but planned no more: --update drops it",
        "failed grid: t4 out of memory",
        "new grid: u not in the baseline",
    ]


def test_what_held_is_one_line_and_its_tolerance() -> None:
    base = held(*sixteen())
    said = gate.text(compare(base, sixteen(), Path("toy.json")))
    assert said == "32 numbers held, 0 moved\n  32 numbers: same platform: equal to rounding, 1e-06"


def test_tolerances_of_one_kind_are_told_as_a_range() -> None:
    lines = [Checked("a", "a", "loss", "same", "measured", 1.0, 1.0, width, 0.0) for width in (0.01, 0.3, 0.02)]
    assert gate.tolerances(lines) == ["3 numbers: measured, 0.01 to 0.3"]


def test_a_difference_too_small_for_the_digits_is_still_seen() -> None:
    line = Checked("a", "a", "loss", "moved", "same platform", 4.2e6, 4.2e6 * (1 + 2e-6), 1e-6, 2e-6)
    assert gate.text([line]).splitlines()[-1].split() == [
        "moved",
        "a",
        "loss",
        "4200000",
        "4200008.4",
        "2.0e-06",
        "1.0e-06",
    ]


def test_markdown_is_one_row_a_line_whatever_the_texts_hold() -> None:
    rows = [r for r in gate.markdown([*compared(), nasty()]).splitlines() if r.startswith("|")]
    assert len(rows) == 2 + 7
    assert all(r.replace("\\|", "").count("|") == 8 for r in rows)
    assert "<b>" not in rows[-1] and "\x1b" not in rows[-1] and "red" in rows[-1]


def test_markdown_is_the_summary_the_tolerances_and_the_table() -> None:
    lines = gate.markdown(compared()).splitlines()
    assert lines[0] == "**6 numbers held, 2 moved, 1 trial missing, 1 trial gone, 1 trial failed, 1 trial new**"
    assert lines[1:4] == [
        "",
        "- 4 numbers: same platform: equal to rounding, 1e-06",
        "- 2 numbers: threads 1 → 2: not measured, assumed (bench check --measure), 0.05",
    ]
    assert lines[4:8] == [
        "",
        "|  | trial | what | baseline | now | moved by | allowed |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        "| moved | grid: t1 | loss at step 0 | 10 | 10.5 | 5.00% | 1.0e-06 |",
    ]
    assert lines[9] == "| missing | grid: t2 | not run |  |  |  |  |" and len(lines) == 13


OUTCOME = Checked("a", "a", "outcome", "moved", "was finished, is diverged: at step 3")
LOST = Checked("a", "a", "loss", "moved", "no longer measured", 1.0, None, 1e-6, None)
UNHELD = Checked("a", "a", "loss", "not held", "threads 1 → 2: measured to differ by 0.9", 1.0, 2.0, None, 1.0)


def test_an_outcome_a_lost_number_and_one_not_held_are_rows_too() -> None:
    said = gate.text([OUTCOME, LOST, UNHELD]).splitlines()
    assert said[0] == "1 number held, 1 moved, 1 outcome held, 1 changed, 1 number not held on this platform"
    assert [" ".join(line.split()) for line in said[3:]] == [
        "moved a outcome: was finished, is diverged: at step 3",
        "moved a loss 1 1.0e-06",
        "not held a loss 1 2 100.00%",
    ]
    root = ElementTree.fromstring(gate.junit([OUTCOME, LOST, UNHELD], "f", 0.0))
    assert [(mark.tag, mark.attrib["type"], mark.attrib["message"]) for mark in root.findall("testcase/*")] == [
        ("failure", "moved", "was finished, is diverged: at step 3"),
        ("failure", "moved", "was 1, is not there; moved by ?, allowed 1.0e-06: no longer measured"),
        (
            "skipped",
            "not held",
            "was 1, is 2; moved by 100.00%, allowed ?: threads 1 → 2: measured to differ by 0.9",
        ),
    ]


def test_junit_has_a_case_for_every_number_by_trial() -> None:
    root = ElementTree.fromstring(gate.junit(compared(), "f", 1.5))
    assert (root.tag, root.attrib["name"]) == ("testsuite", "bench check")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(root.attrib["timestamp"])).total_seconds()) < 600
    cases = [(case.tag, case.attrib["classname"], case.attrib["name"], case.attrib["time"]) for case in root]
    assert cases[:2] == [("testcase", "grid: t0", what, "0") for what in ("loss at step 0", "loss")]
    assert cases[4] == ("testcase", "grid: t2", "trial", "0")
    assert [mark.text for mark in root.iter("error")] == ["out of memory"]


def test_markdown_of_a_sound_run_has_no_table() -> None:
    said = gate.markdown([c for c in compared() if c.kind == "same"])
    assert said.startswith("**4 numbers held, 0 moved**\n\n- 2 numbers: same platform") and "| " not in said


def test_a_long_table_is_cut_and_says_so() -> None:
    said = gate.markdown([nasty()] * (gate.ROWS + 7))
    assert said.count("\n| failed") == gate.ROWS and said.endswith("... and 7 more\n") and len(said) < 65_536


def test_a_table_that_just_fits_is_whole() -> None:
    said = gate.markdown([nasty()] * gate.ROWS)
    assert said.count("\n| failed") == gate.ROWS and "more" not in said


def test_junit_is_well_formed_whatever_the_texts_hold(tmp_path: Path) -> None:
    path = files.write(tmp_path / "check.xml", gate.junit([nasty()], NASTY, 1.5))
    (case,) = ElementTree.parse(path).getroot()
    assert r"\x1b[31mred\x1b[0m \udcff \x00 \ufffe ]]> é 😀" in (case[0].text or "")
    assert case.attrib["classname"].startswith('a "quoted" <b>|pipe|</b>\nnext & ') and case.attrib["file"]


@pytest.mark.parametrize(
    ("kind", "tag"),
    [("moved", "failure"), ("missing", "failure"), ("gone", "failure"), ("failed", "error"), ("new", "skipped")],
)
def test_junit_counts_what_it_holds(kind: str, tag: str) -> None:
    lines = compared()
    root = ElementTree.fromstring(gate.junit(lines, "reports/toy.json", 1.5))
    assert root.attrib["time"] == "1.500" and root.attrib["tests"] == str(len(lines)) == str(len(root))
    wrong = [case for case, line in zip(root, lines, strict=True) if line.kind == kind]
    assert wrong and all([mark.tag for mark in case] == [tag] for case in wrong)
    for counted, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.attrib[counted]) == len(root.findall(f".//{name}"))
    assert {case.attrib["file"] for case in root} == {"reports/toy.json"}


def test_junit_says_of_a_moved_number_from_where_to_where() -> None:
    root = ElementTree.fromstring(gate.junit(compared(), "f", 0.0))
    moved = root.findall(".//failure[@type='moved']")
    assert moved[0].attrib["message"] == (
        "was 10, is 10.5; moved by 5.00%, allowed 1.0e-06: same platform: equal to rounding"
    )
    assert root.find(".//error").attrib["message"] == "out of memory"  # type: ignore[union-attr]
