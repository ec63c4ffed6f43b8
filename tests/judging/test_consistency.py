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
    assert [(f.agrees, f.support) for f in found] == [(True, ""), (True, "")]


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


@pytest.mark.parametrize(
    ("a", "b", "agree"),
    [
        (53.26, 53.26, True),
        (53.3, 53.26, True),
        (53.26, 53.3, True),
        (53.3, 53.24, False),
        (53, 53.49, True),
        (53, 53.51, False),
        (1, 2, False),  # either would have to be rounded the other way
        (-1.5, -1.52, True),
        (-1.5, 1.5, False),
        (1200, 1200.4, True),
        (1200, 1201, False),  # the zeros of 1200 are printed digits
        (1200, 1240, False),
    ],
)
def test_two_printed_values_are_one_number_where_rounding_may_have_parted_them(a: float, b: float, agree: bool) -> None:
    assert consistency.check(suite(a, b, 0, 0))[0].agrees is agree


@pytest.mark.parametrize(
    ("of", "minus", "states", "agree"),
    [
        (54.89, 53.26, 1.63, True),
        (54.89, 53.26, 1.64, True),  # 0.01 of the 0.015 that three roundings allow
        (54.89, 53.26, 1.61, False),
        (54.89, 53.26, 1.6, True),
        (54.89, 53.26, 1.5, False),
        (53.26, 54.89, 1.63, False),
        (10, 3.4, 7.2, True),  # 0.6 of 0.6
        (10, 3.4, 7.3, False),
        (10, 3.4, 6.0, True),
        (10, 3.4, 5.9, False),
    ],
)
def test_a_stated_difference_may_be_as_far_off_as_three_roundings(
    of: float, minus: float, states: float, agree: bool
) -> None:
    assert consistency.check(suite(minus, minus, of, states))[1].agrees is agree


def declared(consistency_: dict[str, Any], **table: Any) -> Suite:
    """Two tables with three rows each, and what is declared of them."""
    data = suite(53.26, 54.26, 54.89, 1.63).model_dump(by_alias=True, exclude_unset=True)
    data["tables"]["one"]["published"] = {"a": {"score": 1.0}, "b": {"score": 2.0}, "c": {"score": 5.0}}
    data["tables"]["two"]["published"] = {"a": {"score": 3.0}, "b": {"score": 2.0}, "c": {"score": 1.25}}
    data["tables"]["two"] |= table
    return Suite.model_validate({**data, "consistency": consistency_})


def difference(of: str, minus: str, states: float, quote: str) -> dict[str, Any]:
    return {"about": "x", "difference": {"of": of, "minus": minus, "states": states, "quote": quote}}


SAME = {"about": "score of a", "same": ["one/a/score", "two/a/score"]}


def test_a_difference_in_words() -> None:
    found = consistency.check(declared({"gain": difference("one/c/score", "two/a/score", 2.0, "by 2 points")}))
    assert [(f.name, f.about, f.agrees, f.support) for f in found] == [("gain", "x", True, "")]
    assert found[0].words == "5 − 3 = 2 (Table 1, c, score, less two, Ours, score); the text: “by 2 points”"


def test_cells_in_words_by_the_labels_of_their_rows_and_columns() -> None:
    rows = {"a": {"label": "Ours (tuned)"}, "b": {}, "c": {}}
    columns = {"score": {"metric": "loss/total", "label": "mIoU"}}
    explicit = declared({"cell": SAME}, rows=rows, columns=columns, source="Table 2")
    assert consistency.check(explicit)[0].words == "1 (Table 1, a, score); 3 (Table 2, Ours (tuned), mIoU)"
    plain = declared(
        {"cell": {"about": "b", "same": ["one/b/score", "two/b/score"]}}, rows=rows, labels={"b": "Theirs"}
    )
    assert consistency.check(plain)[0].words == "2 (Table 1, b, score); 2 (two, Theirs, score)"
    assert consistency.check(plain)[0].agrees and consistency.check(plain)[0].support == ""
    other = declared({"cell": SAME}, rows={"z": {"label": "another row"}})
    assert consistency.check(other)[0].words.endswith("3 (two, Ours, score)")


def test_a_third_value_that_differs_is_a_slip_whichever_it_is() -> None:
    for cells in (["one/b/score", "two/b/score", "two/a/score"], ["two/a/score", "one/b/score", "two/b/score"]):
        (found,) = consistency.check(declared({"cell": {"about": "x", "same": cells}}))
        assert not found.agrees


@pytest.mark.parametrize(
    ("of", "minus", "states", "support"),
    [
        ("one/c/score", "one/a/score", 4.0, "“so much” fits 1"),  # of a slip that is taken off
        ("one/c/score", "two/a/score", 2.0, "“so much” fits 3"),
        ("one/a/score", "two/c/score", -0.25, "“so much” fits 1"),  # of a slip that it is taken off from
        ("two/a/score", "two/c/score", 1.75, "“so much” fits 3"),
        ("one/c/score", "one/a/score", 3.0, "“so much” fits 1 and 3"),
        ("one/c/score", "one/a/score", 9.0, ""),
        ("one/c/score", "one/b/score", 3.0, ""),  # of other cells: it has no say
    ],
)
def test_what_the_text_supports_of_two_values_for_one_quantity(
    of: str, minus: str, states: float, support: str
) -> None:
    found = consistency.check(declared({"cell": SAME, "gain": difference(of, minus, states, "so much")}))
    assert found[0].support == support and not found[0].agrees


def test_every_stated_difference_has_its_say_and_each_value_is_named_once() -> None:
    found = consistency.check(
        declared(
            {
                "first": difference("one/c/score", "one/b/score", 3.0, "none of ours"),
                "cell": {"about": "x", "same": ["one/a/score", "two/a/score", "two/c/score"]},
                "low": difference("one/c/score", "one/a/score", 4.0, "by four"),
                "high": difference("one/c/score", "one/a/score", 2.0, "by two"),
            }
        )
    )
    assert found[1].support == "“by four” fits 1 and 1.25; “by two” fits 3"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_differences_are_taken_exactly(a: int, b: int) -> None:
    of, minus = a / 100, b / 100
    assert consistency.check(suite(minus, minus, of, round(of - minus, 2)))[1].agrees


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("three/a/score", "'three/a/score': there is no table 'three'; write table/row/column"),
        ("one/c/score", "'one/c/score': table 'one' has no published row 'c'"),
        ("one/a/size", "'one/a/size': table 'one' publishes no number in row 'a', column 'size'"),
        ("one/a", "'one/a': table 'one' publishes no number in row 'a', column ''"),
        ("one", "'one': table 'one' has no published row ''"),
        ("", "'': there is no table ''; write table/row/column"),
    ],
)
def test_a_cell_that_is_not_there_is_named(cell: str, words: str) -> None:
    with pytest.raises(ValueError) as why:
        consistency.published(suite(1, 1, 2, 1), cell)
    assert str(why.value) == words


def test_a_published_number_is_read_and_words_are_none() -> None:
    printed = {"a": {"score": 3}, "b": {"score": "0.31 ± 0.02"}}
    assert consistency.published(declared({}, published=printed), "two/a/score") == 3.0
    with pytest.raises(ValueError, match="publishes no number in row 'b'"):
        consistency.published(declared({}, published=printed), "two/b/score")


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
