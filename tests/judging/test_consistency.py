"""Published values that must agree with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from retable.bench.judging import consistency
from retable.bench.suite import loader
from retable.bench.suite.schema import Consistency, Suite

ROOT = Path(__file__).parents[2]


def suite(first: float, second: float, other: float, states: float) -> Suite:
    """Two tables that state the same cell, and a text that states its difference to another."""
    table: dict[str, Any] = {"title": "t", "from": "e", "rows": "kind", "columns": {"score": {"metric": "loss/total"}}}
    return Suite.model_validate(
        {
            "suite": "made_up",
            "about": "for this test",
            "paper": {"title": "p", "authors": ["a"], "year": 2020},
            "scales": {"quick": {"about": "small"}},
            "experiments": {"e": {"task": "t", "about": "a"}},
            "tables": {
                "one": {**table, "source": "Table 1", "published": {"a": {"score": first}, "b": {"score": other}}},
                "two": {**table, "labels": {"a": "Ours"}, "published": {"a": {"score": second}}},
            },
            "consistency": {
                "cell": {"about": "score of a", "same": ["one/a/score", "two/a/score"]},
                "gain": {
                    "about": "a over b",
                    "difference": {
                        "of": "one/b/score",
                        "minus": "one/a/score",
                        "states": states,
                        "quote": "so much better",
                    },
                },
            },
        }
    )


def test_values_that_agree() -> None:
    found = consistency.check(suite(53.26, 53.26, 54.89, 1.63))
    assert [f.agrees for f in found] == [True, True]


def test_a_slip_is_shown_with_what_the_text_supports() -> None:
    cell, gain = consistency.check(suite(53.26, 54.26, 54.89, 1.63))
    assert not cell.agrees
    assert cell.words == "53.26 (Table 1, a, score); 54.26 (two, Ours, score)"
    assert cell.support == "“so much better” fits 53.26"
    assert gain.agrees
    assert "54.89 − 53.26 = 1.63" in gain.words


def test_rounding_is_no_slip_but_more_is() -> None:
    assert consistency.check(suite(53.3, 53.26, 54.89, 1.63))[0].agrees
    assert not consistency.check(suite(53.26, 53.27, 54.89, 1.63))[0].agrees
    assert not consistency.check(suite(53.26, 53.26, 54.89, 1.65))[1].agrees


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_differences_are_taken_exactly(a: int, b: int) -> None:
    of, minus = a / 100, b / 100
    assert consistency.check(suite(minus, minus, of, round(of - minus, 2)))[1].agrees


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("three/a/score", "table 'three'"),
        ("one/c/score", "row 'c'"),
        ("one/a/size", "column 'size'"),
        ("one", "row ''"),
    ],
)
def test_a_cell_that_is_not_there_is_named(cell: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        consistency.published(suite(1, 1, 2, 1), cell)


def test_a_declaration_is_one_thing() -> None:
    with pytest.raises(ValidationError, match="either 'same'"):
        Consistency.model_validate({"about": "nothing"})
    with pytest.raises(ValidationError, match="either 'same'"):
        Consistency.model_validate({"about": "one cell", "same": ["one/a/score"]})


def test_a_wrong_cell_in_a_suite_file_is_found_at_its_line(tmp_path: Path) -> None:
    text = (ROOT / "suites/fanet.yaml").read_text(encoding="utf-8")
    file = tmp_path / "fanet.yaml"
    file.write_text(text.replace("table3/focalnet_base/miou]", "table3/focalnet_bass/miou]"), encoding="utf-8")
    lines = file.read_text(encoding="utf-8").splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "focalnet_bass" in text)
    with pytest.raises(loader.SuiteError, match=rf"(?s):{line}:.*did you mean 'focalnet_base'"):
        loader.load(file)


def test_the_published_slip_of_fanet_is_found() -> None:
    found = {f.name: f for f in consistency.check(loader.load(ROOT / "suites/fanet.yaml").suite)}
    assert {name for name, f in found.items() if not f.agrees} == {"focalnet-b"}
    slip = found["focalnet-b"]
    assert slip.words == "53.26 (Table 1, FocalNet-B, mIoU); 54.26 (Table 3, FocalNet-B, mIoU)"
    assert slip.support.endswith("by 1.63% over the FocalNet-B.” fits 53.26")
