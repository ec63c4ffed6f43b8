"""Ratios and spreads: bounds, unions of alternatives, and cells that are chosen on other seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from checked import gap, labels, made, only
from trials import trials

from retable.bench.judging.sides import CannotJudge, Comparison
from retable.bench.judging.views import Result

INF = math.inf

# Ratio

OF_TO = {"of": {"optimizer": "rprop"}, "to": {"optimizer": ["adam", "nadam"]}}
THREE = (
    trials([8.0, 16.0], optimizer="rprop"),
    trials([2.0, 4.0], optimizer="adam"),
    trials([6.0, 4.0], optimizer="nadam"),
)


def factors(one: Comparison) -> dict[int, float]:
    return {s: math.exp(d) for s, d in gap(one).items()}


def test_a_ratio_to_the_mean_of_a_side() -> None:
    one = only(made("ratio", *THREE, **OF_TO, at_least=1.5))
    assert one.label == "rprop / mean of adam, nadam at least 1.5"
    assert factors(one) == pytest.approx({0: 8 / 4 / 1.5, 1: 16 / 4 / 1.5})
    assert (one.numbers, one.unit, one.factor) == ("12 / 4", "", True)
    assert one.shown(0.0) == 1.5 and one.shown(math.log(2)) == pytest.approx(3.0)
    assert one.shown(INF) == INF and one.shown(701) == INF and one.shown(699) < INF


def test_an_upper_bound_turns_the_sides_and_shows_the_same_ratio() -> None:
    one = only(made("ratio", *THREE, **OF_TO, at_most=3.0))
    assert one.label == "rprop / mean of adam, nadam at most 3"
    assert factors(one) == pytest.approx({0: 3 / 2, 1: 3 / 4})
    assert one.shown(0.0) == 3.0 and one.shown(math.log(2)) == pytest.approx(1.5)


def test_both_bounds_are_two_comparisons() -> None:
    setup = made("ratio", *THREE, **OF_TO, at_least=1.5, at_most=3.0)
    assert [label.partition(" at ")[2] for label in labels(setup)] == ["least 1.5", "most 3"]
    assert [c.get("optimizer") for c in setup.used] == ["rprop", "adam", "nadam"]


EACH = ["rprop / adam", "rprop / nadam"]


@pytest.mark.parametrize(
    ("statistic", "bound", "word", "one_is_enough"),
    [
        ("lowest", "at_least", "at least", True), ("lowest", "at_most", "at most", False),
        ("highest", "at_least", "at least", False), ("highest", "at_most", "at most", True),
        ("each", "at_least", "at least", False), ("each", "at_most", "at most", False),
    ],
)  # fmt: skip
def test_the_lowest_or_highest_of_several_is_never_chosen_by_the_values_that_are_judged(
    statistic: str, bound: str, word: str, one_is_enough: bool
) -> None:
    """ "At least the lowest" is at least one of them; "at most the lowest" is at most every one."""
    setup = made("ratio", *THREE, **OF_TO, to_statistic=statistic, **{bound: 1.0})
    assert labels(setup) == [f"{pair} {word} 1" for pair in EACH]
    assert [len(clause) for clause in setup.clauses] == ([2] if one_is_enough else [1, 1])
    assert [c.numbers for c in setup.comparisons] == ["12 / 3", "12 / 5"]


def test_the_two_sides_are_shown_to_four_digits() -> None:
    sides = (trials([1.234567], optimizer="rprop"), trials([2.345678], optimizer="adam"))
    to_adam = made("ratio", *sides, of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0)
    assert only(to_adam).numbers == "1.235 / 2.346"
    assert only(made("below", *sides, these={"optimizer": "rprop"}, than={"optimizer": "adam"})).numbers == (
        "1.235 against 2.346"
    )


def test_the_best_of_one_cell_is_that_cell() -> None:
    one = only(made("ratio", *THREE, of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0,
                    to_statistic="lowest"))  # fmt: skip
    assert one.label == "rprop / adam at least 1"


def test_a_ratio_to_each() -> None:
    setup = made("ratio", *THREE, **OF_TO, at_least=1.0, to_statistic="each")
    assert labels(setup) == ["rprop / adam at least 1", "rprop / nadam at least 1"]
    assert [c.numbers for c in setup.comparisons] == ["12 / 3", "12 / 5"]
    assert factors(setup.comparisons[1]) == pytest.approx({0: 8 / 6, 1: 4.0})


def test_a_ratio_of_a_mean_over_several_cells_of_a_side_takes_the_seeds_that_all_have() -> None:
    one = only(
        made(
            "ratio",
            trials({0: 2.0, 1: 100.0}, optimizer="adam"),
            trials({0: 4.0, 2: 100.0}, optimizer="nadam"),
            trials([6.0], optimizer="rprop"),
            of={"optimizer": ["adam", "nadam"]},
            to={"optimizer": "rprop"},
            at_least=1.0,
        )
    )
    assert factors(one) == pytest.approx({0: 0.5})
    with pytest.raises(CannotJudge, match=r"^the cells of a side share no seed to average over$"):
        made(
            "ratio",
            trials({1: 100.0}, optimizer="adam"),
            trials({2: 100.0}, optimizer="nadam"),
            trials([6.0], optimizer="rprop"),
            of={"optimizer": ["adam", "nadam"]},
            to={"optimizer": "rprop"},
            at_least=1.0,
        )


@pytest.mark.parametrize("statistic", ["mean", "each"])
@pytest.mark.parametrize(("bad", "said"), [(0.0, "0"), (-2.5, "−2.5")])
def test_a_ratio_needs_positive_values(statistic: str, bad: float, said: str) -> None:
    with pytest.raises(CannotJudge) as why:
        made("ratio", trials([1.0], optimizer="rprop"), trials([bad], optimizer="adam"),
             of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0, to_statistic=statistic)  # fmt: skip
    assert str(why.value) == f"a ratio needs positive values, and loss/total is {said}"


@pytest.mark.parametrize("statistic", ["mean", "each", "lowest"])
def test_a_ratio_with_a_diverged_side_is_infinite(statistic: str) -> None:
    sides = (trials([1.0, "diverged"], optimizer="rprop"), trials([2.0, 2.0], optimizer="adam"))
    up = only(made("ratio", *sides, of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0,
                   to_statistic=statistic))  # fmt: skip
    assert gap(up) == {0: pytest.approx(math.log(0.5)), 1: INF}
    assert up.numbers == "∞ / 2"
    down = only(made("ratio", *sides, of={"optimizer": "adam"}, to={"optimizer": "rprop"}, at_least=1.0,
                     to_statistic=statistic))  # fmt: skip
    assert gap(down) == {0: pytest.approx(math.log(2)), 1: -INF}


@pytest.mark.parametrize("statistic", ["mean", "each", "lowest"])
def test_a_diverged_side_of_what_should_be_high_is_infinitely_low(statistic: str) -> None:
    accuracy = "score/accuracy"
    sides = (trials(["diverged"], accuracy, optimizer="adam"), trials([2.0], accuracy, optimizer="rprop"))
    one = only(made("ratio", *sides, metric=accuracy, of={"optimizer": "rprop"}, to={"optimizer": "adam"},
                    at_least=1.0, to_statistic=statistic))  # fmt: skip
    assert gap(one) == {0: INF}
    other = only(made("ratio", *sides, metric=accuracy, of={"optimizer": "adam"}, to={"optimizer": "rprop"},
                      at_least=1.0, to_statistic=statistic))  # fmt: skip
    assert gap(other) == {0: -INF}


def test_a_ratio_needs_every_trial_of_both_sides() -> None:
    for values in (["missing"], [1.0]), ([1.0], ["missing"]):
        with pytest.raises(CannotJudge, match=r"^not run: (rprop|adam)$"):
            made("ratio", trials(values[0], optimizer="rprop"), trials(values[1], optimizer="adam"),
                 of={"optimizer": "rprop"}, to={"optimizer": "adam"}, at_least=1.0)  # fmt: skip


# Spread


def wide(optimizer: str, *cells: tuple[float, Sequence[float | str]], **more: Any) -> list[Result]:
    return [t for lr, values in cells for t in trials(values, optimizer=optimizer, lr=lr, **more)]


def test_spread_holds_the_highest_over_the_lowest_cell_of_one_grid_against_anothers() -> None:
    setup = made(
        "spread",
        wide("rprop", (0.1, [8.0, 6.0]), (0.2, [1.0, 3.0]), (0.3, [4.0, 4.0])),
        wide("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 2.5]), (0.3, [2.5, 2.25])),
        these={"optimizer": "rprop"}, than={"optimizer": "adam"}, over=["lr"],
    )  # fmt: skip
    one = only(setup)
    assert one.label == "spread of rprop above adam"
    assert one.left == pytest.approx({0: math.log(8), 1: math.log(2)})
    assert one.right == pytest.approx({0: math.log(2), 1: math.log(2.5 / 2)})
    assert (one.numbers, one.factor, one.unit) == ("×3.5 against ×1.62", True, "")
    assert one.shown(math.log(2)) == pytest.approx(2.0) and one.shown(701) == INF
    assert len(setup.used) == 6


def test_the_cells_of_a_spread_are_the_extremes_of_other_seeds() -> None:
    """Two cells of noise alone: what was higher in one seed is lower in the other, which is no spread."""
    noise = wide("rprop", (0.1, [2.0, 1.0]), (0.2, [1.0, 2.0]))
    quiet = wide("adam", (0.1, [1.0, 1.0]), (0.2, [1.0, 1.0]))
    one = only(made("spread", noise, quiet, **SPREAD))
    assert one.left == pytest.approx({0: -math.log(2), 1: -math.log(2)})
    assert one.share == 0.5, "seeds that choose for each other are held to half the level"


def test_of_five_seeds_the_first_chooses_the_cells_of_a_spread_and_the_others_judge() -> None:
    noise = wide("rprop", (0.1, [1.0, 3.0, 3.0, 3.0, 3.0]), (0.2, [2.0, 1.0, 1.0, 1.0, 1.0]))
    quiet = wide("adam", (0.1, [1.0] * 5), (0.2, [1.0] * 5))
    one = only(made("spread", noise, quiet, **SPREAD))
    assert one.left == pytest.approx(dict.fromkeys([1, 2, 3, 4], -math.log(3)))
    assert one.share == 1.0


SPREAD: dict[str, Any] = {"these": {"optimizer": "rprop"}, "than": {"optimizer": "adam"}, "over": ["lr"]}


def test_spread_holds_what_it_is_not_taken_over_and_names_it() -> None:
    grids = [
        wide(optimizer, (0.1, [1.0]), (0.2, [level * batch]), batch=batch)
        for optimizer, level in (("rprop", 4.0), ("adam", 2.0))
        for batch in (1, 2)
    ]
    setup = made("spread", *grids, **SPREAD)
    assert labels(setup) == [
        "spread of rprop at batch 1 above adam at batch 1",
        "spread of rprop at batch 2 above adam at batch 2",
    ]
    assert [c.numbers for c in setup.comparisons] == ["×4 against ×2", "×8 against ×4"]
    both = made("spread", *grids, **{**SPREAD, "over": ["lr", "batch"]})
    assert labels(both) == ["spread of rprop above adam"] and only(both).numbers == "×8 against ×4"


def test_spread_of_grids_named_by_what_they_are_taken_over() -> None:
    setup = made(
        "spread",
        wide("rprop", (0.1, [1.0]), (0.2, [4.0]), (0.3, [1.0]), (0.4, [2.0])),
        these={"lr": [0.1, 0.2]},
        than={"lr": [0.3, 0.4]},
        over=["lr"],
    )
    assert (only(setup).label, only(setup).numbers) == ("spread of one grid above the other", "×4 against ×2")


def test_spread_looks_through_the_names_of_cells() -> None:
    setup = made(
        "spread",
        wide("rprop", (0.1, [1.0]), cell="a"), wide("rprop", (0.2, [4.0]), cell="b"),
        wide("adam", (0.1, [1.0]), cell="c"), wide("adam", (0.2, [2.0]), cell="d"),
        **SPREAD,
    )  # fmt: skip
    assert only(setup).numbers == "×4 against ×2"


@pytest.mark.parametrize("metric", ["loss/total", "score/accuracy"])
def test_a_grid_with_a_diverged_cell_has_an_infinite_spread(metric: str) -> None:
    def cells(optimizer: str, *cells: tuple[float, Sequence[float | str]]) -> list[Result]:
        return [t for lr, values in cells for t in trials(values, metric, optimizer=optimizer, lr=lr)]

    gone = cells("rprop", (0.1, [8.0, 8.0]), (0.2, [1.0, "diverged"]), (0.3, ["diverged", "diverged"]))
    fine = cells("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 4.0]))
    one = only(made("spread", gone, fine, metric=metric, **SPREAD))
    assert one.left == {0: INF, 1: INF}, "the cell that lost the most seeds is the end of the spread"
    assert one.right == pytest.approx({0: math.log(2), 1: math.log(2)})
    assert one.numbers == "×∞ against ×2"


def test_a_grid_in_which_one_seed_diverged_is_infinite_in_that_seed_alone() -> None:
    one = only(
        made(
            "spread",
            wide("rprop", (0.1, [8.0, 8.0]), (0.2, [16.0, "diverged"])),
            wide("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 4.0])),
            **SPREAD,
        )
    )
    assert one.left == {0: pytest.approx(math.log(2)), 1: INF}


def test_two_cells_that_both_diverged_are_no_spread_in_that_seed() -> None:
    one = only(
        made(
            "spread",
            wide("rprop", (0.1, [8.0, "diverged"]), (0.2, [16.0, "diverged"])),
            wide("adam", (0.1, [2.0, 2.0]), (0.2, [4.0, 4.0])),
            **SPREAD,
        )
    )
    assert one.left[1] == 0.0 and one.numbers.startswith("×∞")


def test_a_spread_needs_two_cells_a_grid_and_a_seed_that_both_have() -> None:
    fine = wide("adam", (0.1, [2.0]), (0.2, [4.0]))
    with pytest.raises(CannotJudge, match=r"^rprop has one cell over lr, batch at scale quick$"):
        made("spread", wide("rprop", (0.1, [1.0])), fine, **{**SPREAD, "over": ["lr", "batch"]})
    with pytest.raises(CannotJudge, match=r"^a grid has one cell over lr at scale quick$"):
        made("spread", trials([1.0], lr=0.1), these={}, than={}, over=["lr"])
    with pytest.raises(CannotJudge, match=r"^the cells of a grid share no seed$"):
        made("spread", trials({0: 1.0}, optimizer="rprop", lr=0.1), trials({1: 2.0}, optimizer="rprop", lr=0.2), fine,
             **SPREAD)  # fmt: skip
    with pytest.raises(CannotJudge, match=r"^a ratio needs positive values, and loss/total is −1$"):
        made("spread", wide("rprop", (0.1, [-1.0]), (0.2, [1.0])), fine, **SPREAD)
    with pytest.raises(CannotJudge, match=r"^not run: "):
        made("spread", wide("rprop", (0.1, [1.0]), (0.2, ["missing"])), fine, **SPREAD)
    with pytest.raises(CannotJudge, match=r"^not run: "):
        made("spread", fine, wide("rprop", (0.1, [1.0]), (0.2, ["missing"])), over=["lr"],
             these={"optimizer": "adam"}, than={"optimizer": "rprop"})  # fmt: skip


def test_a_spread_is_taken_over_the_seeds_that_both_cells_have() -> None:
    one = only(
        made(
            "spread",
            trials({0: 1.0, 1: 1.0}, optimizer="rprop", lr=0.1),
            trials({1: 4.0, 2: 4.0}, optimizer="rprop", lr=0.2),
            wide("adam", (0.1, [2.0]), (0.2, [4.0])),
            **SPREAD,
        )
    )
    assert one.left == pytest.approx({1: math.log(4)})
