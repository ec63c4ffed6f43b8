"""What the suite of this family declares: every slot of the paper's tables at every scale, and its settings there."""

from __future__ import annotations

from pathlib import Path

import pytest

from retable.bench.suite import loader, plan
from retable.bench.suite.schema import Arrays, NotPublished, Suite

SCALES = ("quick", "night", "desk", "paper")


@pytest.fixture(scope="module")
def suite() -> Suite:
    return loader.load(Path(__file__).parents[2] / "suites" / "ssl_dynamics.yaml").suite


def test_all_eighteen_slots_and_the_seventeen_published_numbers_are_there(suite: Suite) -> None:
    slots = [
        value
        for name in ("table1", "table2", "table3")
        for row, cells in suite.tables[name].published.items()
        for value in cells.values()
    ]
    assert len(slots) == 18
    numbers = [v for v in slots if not isinstance(v, NotPublished)]
    assert len(numbers) == 17
    assert {85.7, 20.3, 84.7, 79.1, 20.27} <= set(numbers)


@pytest.mark.parametrize("scale", SCALES)
def test_every_slot_is_a_pretraining_of_its_own(suite: Suite, scale: str) -> None:
    trials = [t for t in plan.trials(suite, scale) if t.experiment in ("table1", "table2", "table3") and t.seed == 0]
    assert len(trials) == 18
    words = ("target", "symmetric", "predictor", "update", "update_every", "decayed", "lr", "lr_predictor")
    assert len({tuple(t.settings[w] for w in words) for t in trials}) == 18


def test_the_paper_scale_is_the_papers_protocol(suite: Suite) -> None:
    for t in plan.trials(suite, "paper"):
        if t.experiment not in ("table1", "table2", "table3"):
            continue
        s = t.settings
        expected = {"data": "cifar10", "encoder": "resnet18", "width": 64, "hidden": 512, "dim": 128, "epochs": 101}
        expected |= {"batch_size": 128, "tau": 0.996, "momentum": 0.9, "weight_decay": 4e-4, "rho": 0.3}
        expected |= {"epsilon": 0.1, "probe_epochs": 100, "precision": "fp32", "crop": 0.08}
        assert {name: s[name] for name in expected} == expected
        rates = (0.2, 2.0) if t.experiment == "table3" else (0.03, None)
        assert (s["lr"], s["lr_predictor"]) == rates


@pytest.mark.parametrize("scale", SCALES)
def test_the_predictor_of_table_3_learns_ten_times_faster(suite: Suite, scale: str) -> None:
    for t in plan.trials(suite, scale):
        if t.experiment == "table3":
            assert t.settings["lr_predictor"] == pytest.approx(10 * t.settings["lr"])


@pytest.mark.parametrize("scale", SCALES)
def test_the_untrained_row_differs_from_table_1_in_training_alone(suite: Suite, scale: str) -> None:
    trials = plan.trials(suite, scale)
    trained = next(t for t in trials if t.experiment == "table1").settings
    untrained = next(t for t in trials if t.experiment == "random_init").settings
    differing = {name for name in trained if trained[name] != untrained[name]}
    assert untrained["epochs"] == 0
    assert differing <= {"epochs", "lr", "target"}


@pytest.mark.parametrize("scale", SCALES)
def test_decay_acts_long_enough_for_a_collapse(suite: Suite, scale: str) -> None:
    """lr x decay x steps / (1 - momentum): 4.7 in the paper; the small network's probe needs more than 3."""
    images = {"patches": 2400, "cifar10": 50_000}
    s = next(t for t in plan.trials(suite, scale) if t.experiment == "table1").settings
    steps = s["epochs"] * (images[s["data"]] // s["batch_size"])
    times = s["lr"] * s["weight_decay"] * steps / (1 - s["momentum"])
    assert 3 < times < 5
    if scale == "paper":
        assert times == pytest.approx(4.7, abs=0.05)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_can_judge_its_claims(suite: Suite, scale: str) -> None:
    """Three seeds of everything, five at night, where verdicts are stood behind."""
    least = 5 if scale == "night" else 3
    seeds: dict[str, set[int]] = {}
    for t in plan.trials(suite, scale):
        seeds.setdefault(t.experiment, set()).add(t.seed)
    assert {name for name, found in seeds.items() if len(found) < least} <= {"controls"}


def test_the_authors_series_are_drawn_as_the_tables_print_them(suite: Suite) -> None:
    course = suite.tables["course"].published
    rows = {
        "series2": {"false": "byol", "true": "byol_symmetric"},
        "series3": {"false": "simsiam", "true": "simsiam_symmetric"},
        "series4": {"": "prevented"},
    }
    for name, wanted in rows.items():
        figure = suite.figures[name]
        assert isinstance(figure, Arrays)
        points = {key: [y for _, y in drawn] for key, drawn in figure.arrays[0].published.items()}
        assert points == {key: list(course[row].values()) for key, row in wanted.items()}


def test_every_claim_says_what_it_tests_and_what_must_hold(suite: Suite) -> None:
    for name, claim in suite.claims.items():
        assert claim.reads, name
        assert claim.kind == ("toy" if name.startswith("linear-") and "byol" not in name else "learned"), name
        assert claim.needs or claim.kind == "toy" or name == "methods-do-not-collapse", name


def test_the_linear_model_is_declared_on_both_sides_of_its_threshold(suite: Suite) -> None:
    from retable.models.siamese.linear import threshold

    etas = {t.settings["eta"] for t in plan.trials(suite, "quick") if t.experiment == "linear_decay"}
    assert min(etas) < threshold(0.1) < max(etas)
