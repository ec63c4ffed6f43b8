"""`bench list`: the suites of a project, and what one declares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran

Bench = Callable[..., Ran]


@pytest.fixture
def broken(project: Path) -> Path:
    """A suite beside the toy one, before it in the alphabet, with a task that does not exist."""
    path = project / "suites" / "broken.yaml"
    text = (project / "suites" / "toy.yaml").read_text()
    path.write_text(text.replace("suite: toy", "suite: broken").replace("task: idle", "task: idel"))
    return path


def test_suites_with_their_scales_and_how_much_they_declare(project: Path, bench: Bench) -> None:
    assert bench("list", "--json").json == [
        {
            "suite": "toy",
            "file": str(project / "suites" / "toy.yaml"),
            "paper": "On the descent into bowls (2020)",
            "scales": "quick, long, big",
            "tables": 1,
            "figures": 1,
            "claims": 1,
        }
    ]
    header, rule, row = bench("list").out.splitlines()
    assert header.split() == ["suite", "paper", "scales", "tables", "figures", "claims"]
    assert set(rule) == {"-", " "}
    assert row.split() == [
        *["toy", "On", "the", "descent", "into", "bowls", "(2020)", "quick,", "long,", "big", "1", "1", "1"]
    ]


def test_one_suite_with_its_trials_by_scale_and_its_views(project: Path, bench: Bench) -> None:
    found = bench("list", "toy", "--json").json
    assert found["experiments"]["grid"]["trials"] == {"quick": 16, "long": 16, "big": 0}
    assert found["experiments"]["idle"]["trials"] == {"quick": 0, "long": 0, "big": 200}
    assert found["tables"] == {"table1": "Best learning rate per method"}
    assert found["claims"] == {"momentum-wins": "Momentum goes down faster than plain descent."}
    said = bench("list", "toy").out
    assert said.startswith("toy: On the descent into bowls (A. Nonymous, 2020)\n")
    assert "\n  grid (descent): 16 at quick, 16 at long, 0 at big. two methods, four learning rates\n" in said
    assert "\nfigures\n  figure1: Loss curves\n" in said


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_broken_suite_does_not_hide_the_others(
    project: Path, bench: Bench, broken: Path, form: tuple[str, ...]
) -> None:
    ran = bench("list", *form)
    assert ran.code == 2
    assert "suites/broken.yaml:36:11: experiments.idle.task: unknown task 'idel'" in ran.err
    suites = [row["suite"] for row in ran.json] if form else [line.split()[0] for line in ran.out.splitlines()[2:]]
    assert suites == ["toy"]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_nor_in_the_ledger(project: Path, bench: Bench, broken: Path, form: tuple[str, ...]) -> None:
    ran = bench("status", *form)
    assert ran.code == 2
    assert "suites/broken.yaml:36:11: experiments.idle.task: unknown task 'idel'" in ran.err
    if form:
        assert {row["suite"] for row in ran.json} == {"toy"}
    else:
        assert ran.out.splitlines() == ["toy quick: no report", "toy long: no report", "toy big: no report"]


def test_a_broken_suite_asked_for_by_name_is_an_error_alone(project: Path, bench: Bench, broken: Path) -> None:
    ran = bench("list", "broken")
    assert ran.code == 2 and not ran.out and "unknown task 'idel'" in ran.err
