"""The record that a report leaves for the ledger: every view with its cells, and what tells later that it is stale."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from report_sample import hit, results, sample_suite, suite_with, troubled

from retable.bench.report import page, record
from retable.bench.suite import plan


def recorded(tmp_path: Path, **options: Any) -> dict[str, Any]:
    return record.record(page.gather(results(tmp_path, **options), draw=False))


def view(found: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    own = [v for v in found["views"] if (v["kind"], v["name"]) == (kind, name)]
    assert len(own) == 1
    return dict(own[0])


def test_every_table_figure_and_claim_has_one_line_in_the_suites_order(tmp_path: Path) -> None:
    suite = sample_suite()
    found = [(v["kind"], v["name"]) for v in recorded(tmp_path)["views"]]
    assert found == [
        *(("table", name) for name in suite.tables),
        *(("figure", name) for name in suite.figures),
        *(("claim", name) for name in suite.claims),
    ]


def test_a_cell_is_done_when_every_seed_has_its_result_and_diverging_is_one(tmp_path: Path) -> None:
    whole, half = recorded(tmp_path), recorded(tmp_path, change=troubled)
    assert (view(whole, "table", "table1")["cells"], view(whole, "table", "table1")["done"]) == (128, 128)
    assert view(half, "table", "table1")["done"] == 126  # not the one that failed and the one that was not run
    assert (view(half, "table", "table2")["cells"], view(half, "table", "table2")["done"]) == (8, 8)
    lost = recorded(
        tmp_path, change=lambda row: {"state": "missing"} if hit(row, experiment="defaults", seed=2) else None
    )
    assert view(lost, "table", "table2")["done"] == 0


def test_a_view_beyond_its_scale_says_why_and_counts_no_cell(tmp_path: Path) -> None:
    found = view(recorded(tmp_path), "figure", "figure7")
    assert (found["not_here"], found["cells"], found["done"]) == ("40 hours on one GPU", 0, 0)
    assert view(recorded(tmp_path, scale="paper"), "figure", "figure7")["cells"] == 1


def test_a_table_draws_on_the_experiments_of_its_rows_and_columns_too(tmp_path: Path) -> None:
    assert view(recorded(tmp_path), "table", "table3")["experiments"] == ["depth", "large"]


def test_a_figure_that_could_not_be_drawn_says_so(tmp_path: Path) -> None:
    made = page.gather(results(tmp_path, change=lambda row: {"state": "missing"}))
    assert view(record.record(made), "figure", "figure5")["problem"].startswith("nothing to draw: not run")
    assert "problem" not in view(record.record(page.gather(results(tmp_path))), "figure", "figure5")


def test_a_claim_has_its_verdict_and_basis(tmp_path: Path) -> None:
    found = view(recorded(tmp_path), "claim", "five-beat-three")
    assert (found["verdict"], found["label"]) == ("reproduced", "reproduced")
    assert found["basis"].startswith("3 paired seeds, t 95 %")


def test_when_it_ran_on_what_and_how_long(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    assert (found["begun"], found["hardware"]) == ("2026-01-03T10:00:00+00:00", "Imagined CPU @ 3 GHz")
    assert found["seconds"] == pytest.approx(6.5 * found["states"]["finished"])
    assert found["ended"] > found["begun"] and found["commits"] == ["6c1f2d0e8a"]
    nothing = recorded(tmp_path, change=lambda row: {"state": "missing"})
    assert (nothing["begun"], nothing["ended"], nothing["seconds"], nothing["commits"]) == ("", "", 0, [])


def test_the_digest_of_trials_is_that_of_the_plan_in_any_order(tmp_path: Path) -> None:
    planned = [t.id for t in plan.trials(sample_suite(), "quick") if t.experiment == "grid"]
    assert recorded(tmp_path)["trials"]["grid"] == record.digest(planned) == record.digest(reversed(planned))
    assert record.digest(planned[1:]) != record.digest(planned)


def test_equal_results_give_equal_bytes_without_nan(tmp_path: Path) -> None:
    first, second = (
        record.render(page.gather(results(tmp_path, suite_with(), change=troubled), draw=False)) for _ in range(2)
    )
    assert first == second and first.endswith("}\n")
    json.loads(first, parse_constant=pytest.fail)
