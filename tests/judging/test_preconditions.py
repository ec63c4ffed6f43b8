"""What must hold of the models before a sentence about them can be tried, and the word where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from report_sample import sample_suite
from trials import book, trials

from retable.bench.judging.preconditions import Condition, hold, hold_all
from retable.bench.judging.verdicts import Verdict, judge
from retable.bench.judging.views import ReportError, Result

EXPERIMENTS = sample_suite().model_dump(by_alias=True, exclude_unset=True)["experiments"]
REFERENCE = {**EXPERIMENTS, "reference": {"task": "unchanged", "about": "the photograph itself"}}
BELOW = {"form": "below", "metric": "loss/total"}
WORKS: dict[str, Any] = {
    "reads": "adam is below the unchanged photograph",
    "from": ["defaults", "reference"],
    "check": {**BELOW, "these": {"optimizer": "adam"}, "than": {"optimizer": "unchanged"}},
}
CLAIM: dict[str, Any] = {
    "quote": "a sentence of the paper",
    "from": "defaults",
    "check": {**BELOW, "these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}},
    "needs": "works",
}


def unchanged(*values: float | str) -> list[Result]:
    return trials(list(values), experiment="reference", task="unchanged", optimizer="unchanged")


def held(*groups: Sequence[Result], **changes: Any) -> Condition:
    found = book([t for g in groups for t in g], experiments=REFERENCE, preconditions={"works": {**WORKS, **changes}})
    return hold(found, "works")


def test_it_holds_where_every_seed_is_better_than_the_reference() -> None:
    assert held(trials([1.0, 2.0, 7.9], optimizer="adam"), unchanged(8.0)) == Condition(
        "works", "adam is below the unchanged photograph", "holds", "adam below unchanged: 3.633 against 8", 1, 1
    )


@pytest.mark.parametrize("bad", [8.0, 8.1, "diverged", "collapsed", 8.0 * (1 - 1e-9)])
def test_one_seed_that_is_no_better_than_doing_nothing_is_enough_to_fail_it(bad: float | str) -> None:
    found = held(trials([1.0, 2.0, bad], optimizer="adam"), unchanged(8.0))
    assert (found.state, found.held, found.of) == ("does not hold", 0, 1)
    assert found.numbers.startswith("adam below unchanged: ")


def test_percentages_are_held_as_they_are() -> None:
    check = {**WORKS["check"], "metric": "score/accuracy", "higher": True}
    sides = (
        trials([60.0, 61.0], "score/accuracy", optimizer="adam"),
        trials([10.0], "score/accuracy", experiment="reference", task="unchanged", optimizer="unchanged"),
    )
    assert held(*sides, check=check).state == "holds"
    assert held(*sides, check={**check, "higher": False}).state == "does not hold"


def test_seeds_that_the_other_side_lacks_are_held_against_all_of_its() -> None:
    check = {**BELOW, "these": {"optimizer": "adam"}, "than": {"optimizer": "rprop"}}
    adam = trials([1.0, 5.0], optimizer="adam")
    assert held(adam, trials([2.0, 6.0], optimizer="rprop"), check=check).state == "holds", "seed by seed"
    others = trials({0: 2.0, 7: 6.0}, optimizer="rprop")
    assert held(adam, others, check=check).state == "does not hold", "5 is not below 2"
    assert held(adam, trials({7: 5.1, 8: 6.0}, optimizer="rprop"), check=check).state == "holds"


def test_of_several_comparisons_the_first_that_fails_is_shown_with_how_many_hold() -> None:
    check = {**WORKS["check"], "these": {"optimizer": ["adam", "rprop", "sgd"]}}
    three = [t for o, v in (("adam", 1.0), ("rprop", 9.0), ("sgd", 2.0)) for t in trials([v], optimizer=o)]
    found = held(three, unchanged(8.0), check=check)
    assert (found.state, found.held, found.of) == ("does not hold", 2, 3)
    assert found.numbers == "rprop below unchanged: 9 against 8 (2 of 3 comparisons hold)"
    two = held(three, unchanged(8.0), check={**check, "these": {"optimizer": ["adam", "rprop"]}})
    assert two.numbers == "rprop below unchanged: 9 against 8 (1 of 2 comparisons hold)"


def test_of_alternatives_one_is_enough() -> None:
    check = {"form": "ratio", "metric": "loss/total", "of": {"optimizer": "adam"}, "at_least": 2.0,
             "to": {"optimizer": ["rprop", "unchanged"]}, "to_statistic": "lowest"}  # fmt: skip
    cells = trials([8.0], optimizer="adam"), trials([3.0], optimizer="rprop"), unchanged(8.0)
    one = held(*cells, check=check)
    assert (one.state, one.held, one.of) == ("holds", 1, 1)
    assert held(*cells, check={**check, "to_statistic": "highest"}).state == "does not hold"


@pytest.mark.parametrize(
    ("values", "state"), [([3.5556e6] * 3, "holds"), ([9e6] * 3, "does not hold"), ([3.5e6], "holds")]
)
def test_a_published_value_may_be_one(values: list[float], state: str) -> None:
    data = sample_suite().model_dump(by_alias=True, exclude_unset=True)
    check = {"form": "value", "metric": "loss/total", "of": {"optimizer": "adam"}, "published": "table1/adam/loss",
             "within": 0.05}  # fmt: skip
    stated = {**WORKS, "from": "defaults", "check": check}
    found = book(trials(values, optimizer="adam"), preconditions={"works": stated}, tables=data["tables"])
    assert hold(found, "works").state == state


def test_what_is_missing_leaves_it_open() -> None:
    found = held(trials([1.0], optimizer="adam"), unchanged("missing"))
    assert (found.state, found.numbers, found.held, found.of) == ("not run", "not run: unchanged", 0, 0)
    away = held(trials([1.0], optimizer="adam"), unchanged(8.0), not_at={"quick": "too small"})
    assert (away.state, away.numbers) == ("not run", "not at scale quick: too small")


def test_a_selection_is_applied_first() -> None:
    chosen = {"lowest": "loss/total", "over": ["lr"]}
    cells = trials([1.0], optimizer="adam", lr=0.1), trials([9.0], optimizer="adam", lr=0.2)
    assert held(*cells, unchanged(8.0), select=chosen).state == "holds"
    assert held(*cells, unchanged(8.0)).state == "does not hold"


def test_an_unknown_setting_is_named_with_its_place() -> None:
    with pytest.raises(ReportError, match=r"^preconditions\.works: no trial has a setting 'optimiser'"):
        held(trials([1.0], optimizer="adam"), unchanged(8.0), where={"optimiser": "adam"})


# The verdict's word


def judged(adam: Sequence[float | str], reference: Sequence[float | str], **more: Any) -> Verdict:
    needs = {"works": WORKS, "measured": {**WORKS, "reads": "the reference was measured at all"}}
    cells = [*trials(adam, optimizer="adam"), *trials([4.0, 4.5, 5.5], optimizer="rprop"), *unchanged(*reference)]
    found = book(
        cells, experiments=REFERENCE, preconditions=needs, claims={"c": {**CLAIM, **more}}, tables={}, figures={}
    )
    return judge(found, "c", found.suite.claims["c"])


def test_a_claim_whose_precondition_holds_is_judged() -> None:
    found = judged([1.0, 1.1, 1.2], [8.0])
    assert (found.word, [c.state for c in found.conditions]) == ("reproduced", ["holds"])


def test_one_whose_precondition_does_not_hold_is_not_judgeable_with_the_numbers() -> None:
    found = judged([1.0, 1.1, 1.2], [0.5])
    assert (found.word, found.label, found.judged, found.seeds) == ("not judgeable here", "not judgeable here", (), 0)
    assert found.basis == (
        "adam is below the unchanged photograph: does not hold (adam below unchanged: 1.1 against 0.5)"
    )
    assert [c.state for c in found.conditions] == ["does not hold"]


def test_one_whose_precondition_was_not_run_is_not_run() -> None:
    found = judged([1.0, 1.1, 1.2], ["missing"])
    assert found.word == "not run"
    assert found.basis == "adam is below the unchanged photograph: not run (not run: unchanged)"


def test_every_need_that_fails_is_told_and_one_that_does_not_hold_outweighs_one_not_run() -> None:
    both = judged([1.0, 1.1, 1.2], [0.5], needs=["works", "measured"])
    assert both.basis.count("does not hold") == 2 and both.basis.count("; ") == 1
    assert len(both.conditions) == 2


def test_a_claim_that_lacks_its_own_trials_is_not_run_whatever_it_needs() -> None:
    found = judged(["missing"], [0.5])
    assert (found.word, found.basis, found.conditions) == ("not run", "not run: adam", ())


def test_every_precondition_of_a_suite_is_told() -> None:
    found = book([*trials([1.0], optimizer="adam"), *unchanged(8.0)], experiments=REFERENCE,
                 preconditions={"works": WORKS, "again": WORKS})  # fmt: skip
    assert {name: c.state for name, c in hold_all(found).items()} == {"works": "holds", "again": "holds"}
