"""What the suite of this family declares: the paper's table, its protocol, both forms of the network, its studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from retable.bench.suite import loader, plan
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Suite
from retable.models.stytr2 import TAPS

SCALES = ("quick", "desk", "paper")


@pytest.fixture(scope="module")
def suite() -> Suite:
    return loader.load(Path(__file__).parents[2] / "suites" / "separability.yaml").suite


def cells(suite: Suite, scale: str, *experiments: str) -> list[Trial]:
    return [t for t in plan.trials(suite, scale) if t.experiment in experiments and t.seed == 0]


def test_table_1_as_printed(suite: Suite) -> None:
    assert suite.tables["table1"].published == {
        "none": {"content": 2.0125, "style": 1.9512},
        "content": {"content": 1.9909, "style": 1.9630},
        "full": {"content": 2.0253, "style": 1.9555},
    }


@pytest.mark.parametrize("scale", SCALES)
def test_the_three_models_differ_in_the_separability_loss_alone(suite: Suite, scale: str) -> None:
    trials = cells(suite, scale, "baseline", "separated")
    words = ("separability", "separability_weight", "margin")
    models = [tuple(t.settings[w] for w in words) for t in trials]
    assert [m for m in models if m[0] != "none"] == [("content", 10, 2), ("full", 1, 3)]
    assert len(models) == 3
    differing = {w for t in trials for w in t.settings if t.settings[w] != trials[0].settings.get(w, t.settings[w])}
    assert differing <= {*words, "cell"}


@pytest.mark.parametrize("scale", SCALES)
def test_every_model_of_table_1_has_the_seeds_for_an_interval(suite: Suite, scale: str) -> None:
    seeds = [t.seed for t in plan.trials(suite, scale) if t.experiment == "separated"]
    assert len(set(seeds)) >= 3


def test_the_paper_scale_is_the_papers_protocol(suite: Suite) -> None:
    expected = {
        "content": "kaggle_random_images", "style": "kaggle_abstract_art", "contents": 3000, "styles": 0,
        "pairs_per_content": 10, "batch_size": 8, "size": 256, "patch": 8, "width": 512, "heads": 8, "pool": 18,
        "content_weight": 10, "style_weight": 7, "id1_weight": 70, "id2_weight": 1, "lr": 5e-4,
        "schedule": "equation13", "warmup_steps": 10_000, "decay": 0.05, "taps": "paper", "weights": "torchvision19",
    }  # fmt: skip
    for t in cells(suite, "paper", "baseline", "separated"):
        assert {name: t.settings[name] for name in expected} == expected


def test_the_originals_form_is_a_cell_of_its_own(suite: Suite) -> None:
    (trial,) = cells(suite, "quick", "forms")
    words = ("embedding", "norm", "cape", "decoder_attention", "init")
    assert [trial.settings[w] for w in words] == ["shared", "post", "attention", "memory", "xavier"]
    (paper,) = cells(suite, "quick", "baseline")
    assert [paper.settings[w] for w in words] == ["separate", "pre", "tokens", "self", "torch"]


def test_each_component_has_an_l1_cell(suite: Suite) -> None:
    norms = ("content_norm", "style_norm", "id1_norm", "id2_norm", "separability_norm")
    found = [
        frozenset(n for n in norms if t.settings.get(n) == "l1") for t in cells(suite, "desk", "norms", "norms_single")
    ]
    assert sorted(map(len, found)) == [1, 1, 1, 1, 1, 4]
    assert set().union(*found) == set(norms)


@pytest.mark.parametrize("scale", SCALES)
def test_hinge_tables_have_every_layer_of_their_scale(suite: Suite, scale: str) -> None:
    (baseline,) = cells(suite, scale, "baseline")
    taps = TAPS[baseline.settings["taps"]]
    shown = [t for name, t in suite.tables.items() if name.startswith("hinges") and scale not in t.not_at]
    assert len(shown) == 2
    for table, kind in zip(shown, ("content", "stats"), strict=True):
        metrics = [c.metric for c in table.columns.values() if str(c.metric).startswith("activity/")]
        assert metrics == [f"activity/{kind}/{tap}" for tap in taps]


def test_a_quick_run_is_a_quarter_of_an_hour_on_two_cores(suite: Suite) -> None:
    trials = plan.trials(suite, "quick")
    searches = {n: e.search.trials for n, e in suite.experiments.items() if e.search and "quick" not in e.not_at}
    declared = {n: e.seconds_at.get("quick", 0.0) for n, e in suite.experiments.items()}
    seconds = sum(declared[t.experiment] for t in trials if t.experiment not in searches)
    seconds += sum(count * declared[name] for name, count in searches.items())
    assert seconds / 2 < 14 * 60
