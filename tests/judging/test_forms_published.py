"""Checks against what a paper prints: the order of its values, and a value itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from checked import made, only
from report_sample import sample_suite, suite_with
from scipy import stats as reference
from trials import trials

from retable.bench.judging.forms import published_effect, published_ratio
from retable.bench.judging.sides import CannotJudge, Comparison
from retable.bench.judging.stats import Difference, outcome
from retable.bench.judging.views import Result
from retable.bench.suite.schema import Ratio

INF = math.inf
PRINTED = {row: float(cells["loss"]) for row, cells in sample_suite().tables["table1"].published.items()}  # type: ignore[arg-type]
ORDER = {"over": "optimizer", "published": "table1/loss"}


def judged(one: Comparison) -> Difference:
    assert one.given is not None and not one.left and not one.right
    return one.given


# Agrees


def ours(*optimizers: str, change: dict[str, float] | None = None, seeds: int = 2) -> list[Result]:
    values = {o: PRINTED[o] for o in optimizers} | (change or {})
    return [t for o, v in values.items() for t in trials([v] * seeds, optimizer=o)]


def test_agrees_ranks_our_means_over_seeds_by_the_papers_values() -> None:
    """In the first seed alone adam and nadam stand the other way round; their means do not."""
    found = ours(*(o for o in PRINTED if o not in ("adam", "nadam")), seeds=3)
    swapped = {"adam": [1.0, 7e6, 7e6], "nadam": [3.4687e6] * 3}
    setup = made(
        "agrees", found, *(trials(v, optimizer=o) for o, v in swapped.items()), trials([1.0], optimizer="sgd"), **ORDER
    )
    one = only(setup)
    d = judged(one)
    assert one.label == "8 optimizers in the published order"
    assert (d.n, d.paired, d.has_interval) == (3, True, False)
    assert d.mean == pytest.approx((26 - 2) / 28), "adam's 5e6 is above amsgrad and adagrad, not above rprop"
    assert one.numbers == "26 of 28 pairs in the published order, 2 not"
    assert one.said == f"Kendall's tau 0.857, 26 of 28 pairs, chance {d.above:.3g}"
    assert len(setup.used) == 8 and "sgd" not in [c.get("optimizer") for c in setup.used]


def test_an_order_is_reproduced_by_its_chance_and_its_opposite_is_contradicted() -> None:
    up = only(made("agrees", ours(*PRINTED, seeds=3), **ORDER))
    assert judged(up).above == pytest.approx(1 / math.factorial(8)) and outcome(judged(up)) == "reproduced"
    down = only(made("agrees", ours(*PRINTED, change={o: 1 / v for o, v in PRINTED.items()}, seeds=3), **ORDER))
    assert (judged(down).mean, judged(down).below) == (-1.0, pytest.approx(1 / math.factorial(8)))
    assert outcome(judged(down)) == "contradicted"
    assert down.said == "Kendall's tau −1, 0 of 28 pairs, chance 2.48·10⁻⁵"


def test_four_things_in_their_order_come_so_by_chance_too_often() -> None:
    four = only(made("agrees", ours("adam", "rprop", "rmsprop", "nadam", seeds=3), **ORDER))
    assert judged(four).above == pytest.approx(1 / 24) and outcome(judged(four)) == "within noise"


@pytest.mark.parametrize("seeds", [1, 2])
def test_an_order_of_fewer_than_three_seeds_is_a_direction_of_either_sign(seeds: int) -> None:
    up = judged(only(made("agrees", ours(*PRINTED, seeds=seeds), **ORDER)))
    down = judged(
        only(made("agrees", ours(*PRINTED, change={o: 1 / v for o, v in PRINTED.items()}, seeds=seeds), **ORDER))
    )
    assert (outcome(up), outcome(down)) == ("direction only", "direction only (opposite)")


def test_published_values_that_are_nearly_equal_may_count_as_tied() -> None:
    """Five of the eight lie within 8 % of adam's value; only what is further apart is compared."""
    shuffled = ours(*PRINTED, change={"adam": 3.33e6, "amsgrad": 3.34e6, "rmsprop": 3.6e6}, seeds=3)
    strict, loose = (only(made("agrees", shuffled, tied_within=t, **ORDER)) for t in (0.0, 0.08))
    assert judged(strict).mean < judged(loose).mean == 1.0
    apart = [(a, b) for a in PRINTED for b in PRINTED if PRINTED[a] < PRINTED[b] * (1 - 0.08)]
    assert len(apart) == 13 and loose.numbers == "13 of 13 pairs further apart than 8 % in the published order, 0 not"
    assert outcome(judged(loose)) == "reproduced"


def test_agrees_takes_the_seeds_that_every_cell_has() -> None:
    def only_seed(optimizer: str, *seeds: int) -> list[Result]:
        return trials(dict.fromkeys(seeds, PRINTED[optimizer]), optimizer=optimizer)

    some = made("agrees", only_seed("adam", 0, 1), only_seed("rprop", 1, 2), only_seed("rmsprop", 1), **ORDER)
    assert judged(only(some)).n == 1
    with pytest.raises(CannotJudge, match=r"^the cells share no seed to rank them by$"):
        made("agrees", only_seed("adam", 0), only_seed("rprop", 1), only_seed("rmsprop", 1), **ORDER)


def test_agrees_needs_three_values_one_cell_each_and_an_order() -> None:
    with pytest.raises(CannotJudge, match=r"^2 values of optimizer are both published and run; an order needs three$"):
        made("agrees", ours("adam", "rprop"), trials([1.0], optimizer="sgd"), **ORDER)
    three = made("agrees", trials([1.0], optimizer="sgd"), ours("adam", "rprop", "nadam"), **ORDER)
    assert only(three).label == "3 optimizers in the published order", "wherever what is not published stands"
    twice = [t for lr in (0.1, 0.2) for t in trials([1.0], optimizer="adam", lr=lr)]
    with pytest.raises(
        CannotJudge, match=r"^several cells have optimizer = adam; name the others' settings in where or select$"
    ):
        made("agrees", twice, ours("rprop", "rmsprop"), **ORDER)
    no_order = "^all values are equal, or none of the paper's are told apart, which is no order$"
    with pytest.raises(CannotJudge, match=no_order):
        made("agrees", *(trials([1.0], optimizer=o) for o in ("adam", "rprop", "rmsprop")), **ORDER)
    with pytest.raises(CannotJudge, match=no_order):
        made("agrees", ours("adam", "amsgrad", "nadam"), tied_within=0.5, **ORDER)
    with pytest.raises(CannotJudge, match=r"^not run: adam$"):
        made("agrees", trials(["missing"], optimizer="adam"), ours("rprop", "rmsprop"), **ORDER)


def test_agrees_leaves_out_what_the_paper_does_not_print_as_a_number() -> None:
    """The time of nadam is blank in print; a word of a row is no number either."""
    timed = [
        t for o in ("adam", "rprop", "rmsprop", "nadam") for t in trials([1.0 + len(o)], "time/train", optimizer=o)
    ]
    setup = made("agrees", timed, metric="time/train", over="optimizer", published="table1/time")
    assert only(setup).label == "3 optimizers in the published order"


def test_a_diverged_trial_ranks_last() -> None:
    setup = made("agrees", trials(["diverged"], optimizer="rprop"), ours("adam", "rmsprop", seeds=1), **ORDER)
    assert judged(only(setup)).mean == 1.0, "rprop has the highest published loss"


# Value


def value(values: list[Any], within: float = 0.05, metric: str = "loss/total", **more: Any) -> Comparison:
    """Ours against the 3.5556e6 that is published for adam."""
    check = {"of": {"optimizer": "adam"}, "published": "table1/adam/loss", "within": within, **more}
    return only(made("value", trials(values, metric, optimizer="adam"), metric=metric, **check))


NEAR = [3.50e6, 3.55e6, 3.60e6]


def test_a_published_value_inside_a_narrow_prediction_interval_is_reproduced() -> None:
    one = value(NEAR, within=0.1)
    logs = [math.log(v) for v in NEAR]
    half = reference.t.ppf(0.975, 2) * reference.tstd(logs) * math.sqrt(4 / 3)
    low, high = (math.exp(sum(logs) / 3 + s * half) for s in (-1, 1))
    assert (f"{low / 1e6:.4g}", f"{high / 1e6:.4g}") == ("3.31", "3.807")
    assert one.said == one.numbers
    assert one.said == "3.55·10⁶ here, 3.556·10⁶ published; one more run of ours lies within [3.31·10⁶, 3.807·10⁶]"
    assert one.label == "adam as published, within 10 %"
    assert outcome(judged(one)) == "reproduced"


def test_an_interval_too_wide_says_nothing_of_a_value_inside_it() -> None:
    assert outcome(judged(value(NEAR, within=0.05))) == "within noise"
    wide = [1.0e6, 3.5e6, 9.0e6]
    assert outcome(judged(value(wide, within=0.9))) == "within noise"


def test_a_value_outside_the_interval_is_contradicted_with_its_own_p_value() -> None:
    far = [2.0e6, 2.1e6, 2.2e6]
    d = judged(value(far))
    logs = [math.log(v) for v in far]
    t = (math.log(3.5556e6 - 50) - sum(logs) / 3) / (reference.tstd(logs) * math.sqrt(4 / 3))
    assert d.below == pytest.approx(reference.t.sf(t, 2), rel=1e-4) and d.above == 1.0
    assert outcome(d) == "contradicted"
    assert outcome(d, fails=0.001) == "within noise", "at a stricter level it is not"


def test_equal_numbers_are_reproduced_whatever_their_logarithms_round_to() -> None:
    """exp(log(3555600)) is not 3555600: an interval without width must not leave out what it is formed of."""
    assert math.exp(math.log(3555600)) != 3555600
    assert outcome(judged(value([3555600.0] * 3, within=1e-4))) == "reproduced"


def test_what_is_printed_stands_for_all_that_is_rounded_to_it() -> None:
    """3.5556e6 is printed to a hundred; a count of 3,555,640 that no seed changes is what was printed."""
    assert [outcome(judged(value([3555600.0 + more] * 3))) for more in (-40, 40, 60)] == [
        "reproduced", "reproduced", "contradicted",
    ]  # fmt: skip
    assert outcome(judged(value([3555640.0] * 3, within=1e-6))) == "contradicted", "not beyond the stated margin"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([3.5e6], "direction only"), ([3.5e6, 3.6e6], "direction only"), ([1e6], "direction only (opposite)"),
        ([9e6, 1e7], "direction only (opposite)"), ([0.0], "direction only (opposite)"), ([3.4e6], "within noise"),
    ],
)  # fmt: skip
def test_a_value_of_one_or_two_seeds_is_a_direction(values: list[float], says: str) -> None:
    one = value(values)
    assert outcome(judged(one)) == says
    assert one.said.endswith("published"), "without an interval"


def test_a_factor_changes_the_unit_first() -> None:
    assert outcome(judged(value([v / 1e6 for v in NEAR], within=0.1, factor=1e6))) == "reproduced"


def test_values_that_are_not_positive_have_an_interval_of_their_own_scale() -> None:
    one = value([-1.0, 0.0, 1.0], within=0.5)
    assert "lies within [−4.968, 4.968]" in one.said and outcome(judged(one)) == "contradicted"


def test_a_value_is_of_one_cell_that_did_not_diverge() -> None:
    with pytest.raises(CannotJudge, match=r"^2 cells stand for one published value; they differ in lr$"):
        both = trials([1.0], optimizer="adam", lr=0.1), trials([1.0], optimizer="adam", lr=0.2)
        made("value", *both, of={"optimizer": "adam"}, published="table1/adam/loss", within=0.1)
    with pytest.raises(CannotJudge, match=r"^adam diverged$"):
        value([1.0, "diverged", 1.0])
    with pytest.raises(CannotJudge, match=r"^ours collapsed$"):
        made("value", trials(["collapsed"]), of={}, published="table1/adam/loss", within=0.1)
    with pytest.raises(CannotJudge, match=r"^not run: defaults$"):
        value(["missing"])


# What the paper's own ratio is


def stated(published: Any, statistic: str = "mean") -> str:
    data = sample_suite().model_dump(by_alias=True, exclude_unset=True)
    check = Ratio(form="ratio", metric="loss/total", of={}, to={}, to_statistic=statistic, at_least=1.0,
                  published=published)  # type: ignore[arg-type]  # fmt: skip
    return published_ratio(suite_with(tables=data["tables"]), check)


def test_the_papers_ratio_is_computed_by_the_same_statistic_as_ours() -> None:
    cells = {"of": "table1/rprop/loss", "to": ["table1/adam/loss", "table1/nadam/loss", "table1/rmsprop/loss"]}
    a, b, c = 6.0191 / 3.5556, 6.0191 / 3.4687, 6.0191 / 3.3217
    assert stated(cells) == f"×{6.0191 * 3 / (3.5556 + 3.4687 + 3.3217):.3g}, from Table 1"
    assert (
        stated(cells, "lowest") == f"×{c:.3g}, from Table 1" and stated(cells, "highest") == f"×{a:.3g}, from Table 1"
    )
    assert a < b < c and stated(cells, "each") == f"×{a:.3g} to ×{c:.3g}, from Table 1"
    assert stated({**cells, "to": ["table1/adam/loss"]}, "each") == f"×{a:.3g}, from Table 1"
    assert (stated(1.81), stated(None)) == ("×1.81", "")
    both = {"of": ["table1/rprop/loss", "table1/adam/loss"], "to": "table1/nadam/loss"}
    assert stated(both) == f"×{(6.0191 + 3.5556) / 2 / 3.4687:.3g}, from Table 1"
    data = sample_suite().model_dump(by_alias=True, exclude_unset=True)["tables"]
    two = {"of": "table1/rprop/loss", "to": ["table1/adam/loss", "again/adam/loss"]}
    check = Ratio.model_validate(
        {"form": "ratio", "metric": "loss/total", "of": {}, "to": {}, "at_least": 1, "published": two}
    )
    suite = suite_with(tables={"table1": data["table1"], "again": {**data["table1"], "source": ""}})
    assert published_ratio(suite, check) == f"×{6.0191 / 3.5556:.3g}, from Table 1 and again"


@pytest.mark.parametrize(
    ("bounds", "published", "effect"),
    [
        ({"at_least": 1.3}, 1.81, math.log(1.81 / 1.3)), ({"at_most": 2.0}, 1.81, math.log(2 / 1.81)),
        ({"at_least": 1.3, "at_most": 2.0}, 1.81, math.log(2 / 1.81)), ({"at_least": 1.3}, 1.2, None),
        ({"at_most": 1.3}, 1.81, None), ({"at_least": 1.3}, None, None),
    ],
)  # fmt: skip
def test_the_published_effect_is_how_far_the_ratio_is_inside_its_nearest_bound(
    bounds: dict[str, float], published: float | None, effect: float | None
) -> None:
    check = Ratio.model_validate(
        {"form": "ratio", "metric": "loss/total", "of": {}, "to": {}, "published": published, **bounds}
    )
    assert published_effect(sample_suite(), check) == (None if effect is None else pytest.approx(effect))
