"""What this family's suite declares: the paper's networks, controls, methods and published times at every scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from retable.bench.suite import loader, plan
from retable.bench.suite.schema import Suite

SCALES = ("quick", "night", "desk", "paper")


@pytest.fixture(scope="module")
def suite() -> Suite:
    return loader.load(Path(__file__).parents[2] / "suites" / "flexible_solver.yaml").suite


@pytest.mark.parametrize("scale", SCALES)
def test_the_seven_networks_of_figure_3(suite: Suite, scale: str) -> None:
    trials = [t for t in plan.trials(suite, scale) if t.experiment in ("depth", "width", "relu") and t.seed == 0]
    found = sorted((t.settings["iterations"], t.settings["width"], t.settings["nonlinearity"]) for t in trials)
    wide = 16 if scale in ("quick", "night") else 64
    expected = [(n, wide, "heaviside") for n in (1, 2, 3, 4)]
    expected += [(3, wide // 4, "heaviside"), (3, wide // 2, "heaviside"), (3, wide, "relu")]
    assert found == sorted(expected)
    # One protocol: they differ in nothing else, and are measured on the same pairs.
    others = [{k: v for k, v in t.settings.items() if k not in ("iterations", "width", "nonlinearity")} for t in trials]
    assert all(o == others[0] for o in others)


def test_the_paper_scale_is_the_papers_protocol(suite: Suite) -> None:
    expected = {"data": "coco2014", "size": 320, "pairs": 1, "lr": 2e-5, "keep": 0.9, "noise": 0.1, "clip": 0.0}
    expected |= {"content_weight": 0.02, "variation_weight": 0.3, "alpha_floor": 0.0, "held_out": 1000}
    expected |= {"gain": 1.0, "range_weight": 0.0, "forward_lr": 1.0}
    trials = {t.experiment: t.settings for t in plan.trials(suite, "paper")}
    for name, epochs in {"depth": 30, "width": 30, "relu": 30, "solver": 50}.items():
        assert {k: trials[name][k] for k in expected} == expected
        assert trials[name]["steps"] == epochs * 82_783
    assert (trials["solver"]["iterations"], trials["solver"]["width"]) == (4, 64)
    assert trials["photo_ours"]["photo_weight"] == trials["texture_ours"]["consistency_weight"] == 50
    assert trials["video_ours"]["temporal_weight"] == 0.37


@pytest.mark.parametrize("scale", SCALES)
def test_everything_after_figure_3_uses_one_trained_solver(suite: Suite, scale: str) -> None:
    trials = plan.trials(suite, scale)
    solver = {t.seed: t.id for t in trials if t.experiment == "solver"}
    names = ("style_scales", "scale_controls", "intensity", "mixture", "regions", "artistic_ours", "pairs_ours")
    names += ("photo_ours", "photo_without", "video_ours", "video_ours_photo", "texture_ours")
    users = [t for t in trials if t.experiment in names]
    assert {t.experiment for t in users} == set(names) and all(t.start == solver[t.seed] for t in users)
    assert all({t.seed for t in users if t.experiment == name} == set(solver) for name in names)


@pytest.mark.parametrize("scale", SCALES)
def test_each_method_stylises_the_same_pairs(suite: Suite, scale: str) -> None:
    def shown(kind: str) -> dict[str, set[tuple[str, str, str]]]:
        found: dict[str, set[tuple[str, str, str]]] = {}
        for t in plan.trials(suite, scale):
            if t.experiment.startswith(kind):
                pair = (t.settings["content"], t.settings["style"], t.settings["resolution"])
                found.setdefault(t.experiment, set()).add(pair)
        return found

    for kind, methods, pairs in [("artistic_", 5, 4), ("photo_", 5, 2)]:
        found = shown(kind)
        assert len(found) == methods
        assert len(next(iter(found.values()))) == pairs and len({frozenset(v) for v in found.values()}) == 1


def test_the_twelve_published_times(suite: Suite) -> None:
    published = suite.tables["timing"].published
    # Section 5.4, seconds on a P100: [30] and ours with the Laplacian, [30] and ours without.
    assert {r: list(v.values()) for r, v in published.items()} == {
        "256x128": [0.79, 0.44, 0.20, 0.04],
        "512x256": [3.12, 1.86, 0.23, 0.11],
        "1024x512": [15.23, 8.11, 0.34, 0.37],
    }
    times = {t.settings["resolution"] for t in plan.trials(suite, "paper") if t.experiment == "timing"}
    assert times == set(published)
    assert all(
        (t.settings["iterations"], t.settings["width"]) == (4, 64)
        for s in SCALES
        for t in plan.trials(suite, s)
        if t.experiment == "timing"
    )
