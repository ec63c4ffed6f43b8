"""Commands: what they print as JSON, and their exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran

Bench = Callable[..., Ran]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("run", "tyo"), "no suite is called 'tyo'; did you mean 'toy'?"),
        (("run", "toy", "--scale", "quik"), "no scale 'quik'; did you mean 'quick'?"),
        (("run", "toy", "--where", "lrr=1"), "unknown setting 'lrr'"),
        (("run", "toy", "--only", "gird"), "did you mean 'grid'?"),
        (("run", "toy", "--set", "steps"), "write key=value"),
        (("run", "toy", "--set", "steps=many"), "unable to parse string as an integer"),
        (("run", "toy", "--device", "tpu"), "write auto, cpu, cuda or cuda:N"),
        (("show", "toy", "zzz"), "0 trials have an id that begins with 'zzz'"),
        (("data", "get", "cocoo2017"), "did you mean 'coco2017'"),
        (("nonsense",), "No such command 'nonsense'"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, tuple) else "",
)
def test_wrong_words_are_answered_with_the_right_ones(
    project: Path, bench: Bench, args: tuple[str, ...], says: str
) -> None:
    ran = bench(*args)
    assert ran.code == 2 and says in ran.err and "Traceback" not in ran.err


def test_plan_is_an_object_of_trials(project: Path, bench: Bench) -> None:
    plan = bench("plan", "toy", "--json").json
    assert plan["suite"] == "toy" and plan["scale"] == "quick" and len(plan["trials"]) == 17
    assert set(plan["trials"][0]) == {"id", "experiment", "params", "seed", "state"}
    assert plan["trials"][0]["params"] == {"method": "plain", "lr": 0.5} and plan["trials"][0]["state"] == "missing"


def test_nothing_measured_is_exit_code_4(project: Path, bench: Bench) -> None:
    assert bench("report", "toy").code == 4
    checked = bench("check", "toy")
    assert checked.code == 4 and "--update writes one" in checked.err


def test_missing_data_is_said_before_any_trial_starts(project: Path, bench: Bench) -> None:
    package = project / "toypaper" / "__init__.py"
    package.write_text(
        package.read_text().replace('"loss/final", lambda s: []', '"loss/final", lambda s: ["coco2017"]')
    )
    ran = bench("run", "toy")
    assert ran.code == 2 and "bench data get coco2017" in ran.err
    assert "missing" in {t["state"] for t in bench("plan", "toy", "--json").json["trials"]}


def test_a_run_ends_with_its_report(project: Path, bench: Bench) -> None:
    ran = bench("run", "toy", "--workers", "2")
    assert ran.code == 0, ran.err
    page = project / "reports" / "toy" / "quick.md"
    assert f"report: {page}" in ran.out
    text = page.read_text()
    assert "Momentum goes down faster" in text and "Best learning rate per method" in text
    assert bench("report", "toy", "--format", "html", "--format", "csv", "--format", "latex").code == 0
    assert (project / "reports" / "toy" / "quick.html").is_file()
    assert [r["finished"] for r in bench("status", "toy", "--json").json[0]["experiments"]] == [16, 1]
