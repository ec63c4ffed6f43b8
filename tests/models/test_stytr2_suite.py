"""What the suite of this family declares: the paper's table, its protocol, both forms of the network, its studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from retable.bench.suite import loader, plan
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Below, Extreme, Ratio, Same, Suite
from retable.models.stytr2 import TAPS, Training, data

SCALES = ("quick", "night", "desk", "paper")


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
    (trial,) = cells(suite, "desk", "forms")
    words = ("embedding", "norm", "cape", "decoder_attention", "init")
    assert [trial.settings[w] for w in words] == ["shared", "post", "attention", "memory", "xavier"]
    (paper,) = cells(suite, "desk", "baseline")
    assert [paper.settings[w] for w in words] == ["separate", "pre", "tokens", "self", "released"]


def test_each_component_has_an_l1_cell(suite: Suite) -> None:
    norms = ("content_norm", "style_norm", "id1_norm", "id2_norm")
    trials = cells(suite, "desk", "norms", "norms_single")
    found = [frozenset(n for n in norms if t.settings.get(n) == "l1") for t in trials]
    assert sorted(map(len, found)) == [0, 1, 1, 1, 1, 4]
    assert set().union(*found) == set(norms)
    assert [t.settings.get("hinge") for t, n in zip(trials, found, strict=True) if not n] == ["unsquared"]


@pytest.mark.parametrize("scale", ["quick", "night"])
def test_cells_that_are_compared_have_equal_seeds(suite: Suite, scale: str) -> None:
    seeds: dict[str, set[int]] = {}
    for trial in plan.trials(suite, scale):
        seeds.setdefault(trial.experiment, set()).add(trial.seed)
    compared = {
        name
        for claim in suite.claims.values()
        if scale not in claim.not_at
        for name in claim.from_
        if name in seeds and suite.experiments[name].task != "stytr2_reference"
    }
    assert len({frozenset(seeds[name]) for name in compared}) == 1
    assert len(seeds["baseline"]) >= {"quick": 3, "night": 4}[scale]


def test_every_claim_says_what_it_reads_and_the_models_claims_need_models_that_stylise(suite: Suite) -> None:
    for name, claim in suite.claims.items():
        assert claim.reads, name
        if isinstance(claim.check, Below | Extreme | Ratio | Same) and claim.check.metric.startswith("validation/"):
            assert "stylises" in claim.needs, name


@pytest.mark.parametrize("scale", ["quick", "night"])
def test_small_scales_train_and_measure_nine_pairs_a_hundred_times_each(suite: Suite, scale: str) -> None:
    for trial in cells(suite, scale, "baseline", "separated", "margin_large"):
        s = Training.model_validate({k: v for k, v in trial.settings.items() if k != "cell"})
        pool = data.pool(s)
        pairs = data.pairs(s, len(pool.contents), len(pool.styles))
        assert len(pairs.train) == len(pairs.validation) == 9
        assert s.steps * s.batch_size >= 100 * 9


@pytest.mark.parametrize("scale", SCALES)
def test_hinge_tables_have_every_layer_of_their_scale(suite: Suite, scale: str) -> None:
    (baseline,) = cells(suite, scale, "baseline")
    taps = TAPS[baseline.settings["taps"]]
    shown = [t for name, t in suite.tables.items() if name.startswith("hinges") and scale not in t.not_at]
    assert len(shown) == 2
    for table, kind in zip(shown, ("content", "stats"), strict=True):
        metrics = [c.metric for c in table.columns.values() if str(c.metric).startswith("activity/")]
        assert metrics == [f"activity/{kind}/{tap}" for tap in taps]


@pytest.mark.parametrize(("scale", "minutes"), [("quick", 14), ("night", 100)])
def test_a_run_is_as_long_on_two_cores_as_its_scale_says(suite: Suite, scale: str, minutes: int) -> None:
    seconds = sum(suite.experiments[t.experiment].seconds_at[scale] for t in plan.trials(suite, scale))
    assert seconds / 2 < minutes * 60
