"""What an interval counts: seeds, pairs in their place, references beside every seed, seeds that did not choose."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from checked import ADAM_RPROP, gap, made, only
from report_sample import sample_suite
from trials import trials

from retable.bench.judging import sides, views
from retable.bench.judging.sides import CannotJudge, Reader
from retable.bench.judging.views import Cell, Result
from retable.bench.suite.schema import Select

INF = math.inf


# Replicates


def with_pairs(values: list[list[float]], optimizer: str, **more: Any) -> list[Result]:
    """A trial a seed; each measured loss/total on four pairs, and their mean."""
    found = []
    for seed, several in enumerate(values):
        (one,) = trials({seed: sum(several) / 4}, optimizer=optimizer, **more)
        found.append(replace(one, metrics={**one.metrics, **{f"pair/{i}": v for i, v in enumerate(several)}}))
    return found


PAIRS = {"unit": "pairs", "metrics": "pair/*"}
EASY, HARD = [1.0, 2.0, 3.0, 4.0], [2.0, 5.0, 9.0, 16.0]


def test_where_seeds_are_few_each_pair_is_a_replicate() -> None:
    one = only(made("below", with_pairs([EASY], "adam"), with_pairs([HARD], "rprop"), replicates=PAIRS, **ADAM_RPROP))
    assert gap(one) == pytest.approx(
        {f"pair/{i}": math.log(h / e) for i, (e, h) in enumerate(zip(EASY, HARD, strict=True))}
    )
    assert one.numbers == "2.5 against 8" and one.lender is None
    plain = only(made("below", with_pairs([EASY], "adam"), with_pairs([HARD], "rprop"), **ADAM_RPROP))
    assert gap(plain) == pytest.approx({0: math.log(3.2)}), "only where the claim says so"


def test_a_scale_that_measures_fewer_pairs_is_judged_on_those() -> None:
    three = with_pairs([EASY[:3]], "adam"), with_pairs([HARD[:3]], "rprop")
    assert set(gap(only(made("below", *three, replicates=PAIRS, **ADAM_RPROP)))) == {f"pair/{i}" for i in range(3)}


def test_of_two_seeds_a_pairs_value_is_their_mean() -> None:
    both = with_pairs([EASY, HARD], "adam"), with_pairs([HARD, HARD], "rprop")
    one = only(made("below", *both, replicates=PAIRS, **ADAM_RPROP))
    assert gap(one)["pair/3"] == pytest.approx(math.log(16 / 10))


def test_where_every_cell_has_three_seeds_the_seed_is_the_replicate() -> None:
    sides = with_pairs([EASY] * 3, "adam"), with_pairs([HARD] * 3, "rprop")
    assert set(gap(only(made("below", *sides, replicates=PAIRS, **ADAM_RPROP)))) == {0, 1, 2}
    fewer = with_pairs([EASY] * 3, "adam"), with_pairs([HARD] * 2, "rprop")
    assert set(gap(only(made("below", *fewer, replicates=PAIRS, **ADAM_RPROP)))) == {f"pair/{i}" for i in range(4)}


@pytest.mark.parametrize("state", ["diverged", "collapsed"])
def test_a_lost_trial_is_one_loss_however_many_pairs_it_would_have_had(state: str) -> None:
    setup = made("below", with_pairs([EASY], "adam"), trials([state], optimizer="rprop"), replicates=PAIRS,
                 **ADAM_RPROP)  # fmt: skip
    assert gap(only(setup)) == {0: INF}


def test_a_pair_that_was_not_measured_is_named() -> None:
    (one,) = with_pairs([EASY], "adam")
    gone = replace(one, metrics={k: v for k, v in one.metrics.items() if k != "pair/2"})
    with pytest.raises(CannotJudge, match=r"^no pair/2 was measured: adam$"):
        made("below", [gone], with_pairs([HARD], "rprop"), replicates=PAIRS, **ADAM_RPROP)


def test_an_order_and_a_published_value_count_seeds() -> None:
    found = [t for o in ("adam", "rprop", "nadam") for t in with_pairs([[len(o) / 1.0] * 4], o)]
    order = made("agrees", found, over="optimizer", published="table1/loss", replicates=PAIRS)
    assert only(order).given is not None and only(order).given.n == 1  # type: ignore[union-attr]
    value = made("value", found, of={"optimizer": "adam"}, published="table1/adam/loss", within=0.1, replicates=PAIRS)
    assert only(value).given.n == 1  # type: ignore[union-attr]


# References that no seed changes


EXPERIMENTS = sample_suite().model_dump(by_alias=True, exclude_unset=True)["experiments"]
WITH_REFERENCE: dict[str, Any] = {
    "experiments": ("defaults", "reference"),
    "parts": {"experiments": {**EXPERIMENTS, "reference": {"task": "unchanged", "about": "the photograph itself"}}},
}


def unchanged(*values: float | str) -> list[Result]:
    return trials(list(values), experiment="reference", task="unchanged", optimizer="unchanged")


BELOW_UNCHANGED = {"these": {"optimizer": "adam"}, "than": {"optimizer": "unchanged"}, **WITH_REFERENCE}


@pytest.mark.parametrize("values", [[8.0], [8.0, 8.0]])
def test_a_reference_stands_beside_every_seed(values: list[float]) -> None:
    adam = trials({3: 1.0, 4: 2.0, 5: 4.0}, optimizer="adam")
    one = only(made("below", adam, unchanged(*values), **BELOW_UNCHANGED))
    assert gap(one) == pytest.approx({3: math.log(8), 4: math.log(4), 5: math.log(2)})
    turned = only(made("below", adam, unchanged(*values), **{
        **BELOW_UNCHANGED, "these": BELOW_UNCHANGED["than"], "than": BELOW_UNCHANGED["these"]
    }))  # fmt: skip
    assert gap(turned) == pytest.approx({s: -d for s, d in gap(one).items()})


def test_a_reference_stands_beside_every_seed_of_a_ratio_and_of_a_mean() -> None:
    cells = trials([2.0, 4.0], optimizer="adam"), trials([2.0, 8.0], optimizer="rprop"), unchanged(8.0)
    to_mean = made("ratio", *cells, of={"optimizer": "unchanged"}, to={"optimizer": ["adam", "rprop"]}, at_least=1.0,
                   **WITH_REFERENCE)  # fmt: skip
    assert gap(only(to_mean)) == pytest.approx({0: math.log(4), 1: math.log(8 / 6)})
    of_mean = made("ratio", *cells, of={"optimizer": ["unchanged", "rprop"]}, to={"optimizer": "adam"}, at_least=1.0,
                   **WITH_REFERENCE)  # fmt: skip
    assert gap(only(of_mean)) == pytest.approx({0: math.log(2.5), 1: math.log(2)})


def test_one_seed_of_a_task_that_seeds_change_is_one_seed() -> None:
    sides = trials([1.0, 2.0, 4.0], optimizer="adam"), trials([8.0], optimizer="rprop")
    assert set(gap(only(made("below", *sides, **ADAM_RPROP)))) == {0}


def test_a_reference_that_did_change_is_no_constant() -> None:
    one = only(made("below", trials([1.0, 2.0, 4.0], optimizer="adam"), unchanged(8.0, 9.0), **BELOW_UNCHANGED))
    assert set(gap(one)) == {0, 1}


def test_two_references_stand_beside_each_others_seeds() -> None:
    sides = [Cell(tuple(trials(v, task="unchanged", optimizer=o))) for o, v in (("a", {0: 1.0}), ("b", {4: 2.0}))]
    reader = Reader("loss/total", INF, "quick", steady=frozenset(["unchanged"]))
    assert reader.beside(*sides) == [{0: 1.0, 4: 1.0}, {0: 2.0, 4: 2.0}]


def test_a_reference_with_one_seed_does_not_make_pairs_of_three_seeds_the_replicates() -> None:
    adam = with_pairs([EASY] * 3, "adam")
    (still,) = unchanged(8.0)
    still = replace(still, metrics={"loss/total": 8.0, **{f"pair/{i}": 8.0 for i in range(4)}})
    assert set(gap(only(made("below", adam, [still], replicates=PAIRS, **BELOW_UNCHANGED)))) == {0, 1, 2}
    few = only(made("below", adam[:1], [still], replicates=PAIRS, **BELOW_UNCHANGED))
    assert gap(few) == pytest.approx({f"pair/{i}": math.log(8 / e) for i, e in enumerate(EASY)})


# What a selection chose


@pytest.mark.parametrize(
    ("seeds", "parted"),
    [
        ([7], [([7], [7])]),
        ([7, 8], [([8], [7]), ([7], [8])]),
        ([7, 8, 9], [([8, 9], [7]), ([7, 9], [8]), ([7, 8], [9])]),
        ([1, 2, 3, 4, 5], [([1], [2, 3, 4, 5])]),
        ([1, 2, 3, 4, 5, 6], [([1, 2], [3, 4, 5, 6])]),
    ],
)
def test_seeds_that_choose_do_not_judge_what_they_chose(
    seeds: list[int], parted: list[tuple[list[int], list[int]]]
) -> None:
    assert sides.turns(seeds) == parted


def test_four_seeds_choose_in_turns_at_half_the_level_and_five_are_parted() -> None:
    assert [judged for _, judged in sides.turns([1, 2, 3, 4])] == [[1], [2], [3], [4]]
    assert [sides.level_share(n) for n in (1, 4, 5)] == [0.5, 0.5, 1.0]


def chosen(*grid: list[float], metric: str = "loss/total", lowest: bool = True) -> tuple[Reader, Cell]:
    """The reader of a selection over cells, and its winner."""
    cells = views.cells([t for i, values in enumerate(grid) for t in trials(values, optimizer="adam", lr=i)])
    (choice,) = views.select(cells, Select(**{"lowest" if lowest else "highest": "loss/total"}, over=["lr"]))
    assert choice.winner is not None
    return Reader(metric, INF, "quick", choices={id(choice.winner): choice}), choice.winner


def test_each_seed_of_the_best_cell_is_that_of_the_cell_which_the_other_seeds_choose() -> None:
    reader, winner = chosen([1.0, 5.0, 5.0], [4.0, 4.0, 4.0])
    assert winner.get("lr") == 0, "the lower mean: 3.67"
    assert reader.plain(winner) == {0: 4.0, 1: 5.0, 2: 5.0}, "without its lucky seed it is the worse one"
    assert reader.mean(winner) == pytest.approx(14 / 3)
    assert reader.share(winner) == 0.5 and reader.share(Cell(winner.trials)) == 1.0
    high, best = chosen([9.0, 5.0, 5.0], [6.0, 6.0, 6.0], lowest=False)
    assert high.plain(best) == {0: 6.0, 1: 5.0, 2: 5.0}


def test_of_five_seeds_the_first_chooses_and_the_others_judge() -> None:
    reader, winner = chosen([1.0, 5.0, 5.0, 5.0, 5.0], [4.0, 1.0, 1.0, 1.0, 1.0])
    assert winner.get("lr") == 1 and reader.plain(winner) == {1: 5.0, 2: 5.0, 3: 5.0, 4: 5.0}
    assert reader.share(winner) == 1.0


def test_one_seed_chooses_for_itself() -> None:
    reader, winner = chosen([1.0], [4.0])
    assert reader.plain(winner) == {0: 1.0}


def test_another_metric_than_the_one_chosen_by_is_read_from_the_chosen_cells() -> None:
    reader, winner = chosen([1.0, 5.0], [4.0, 4.0], metric="loss/other")
    with pytest.raises(CannotJudge, match=r"^no loss/other was measured of a cell that the selection may choose$"):
        reader.plain(winner)
