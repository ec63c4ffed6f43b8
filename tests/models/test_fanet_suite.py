"""The suite file: it is read and planned at every scale, and says what the paper prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from retable.bench.suite import loader, plan
from retable.bench.suite.schema import Suite

FILE = Path(__file__).parents[2] / "suites" / "fanet.yaml"


@pytest.fixture(scope="module")
def fanet() -> Suite:
    return loader.load(FILE).suite


@pytest.mark.parametrize("scale", ["quick", "desk", "paper"])
def test_every_scale_is_planned(fanet: Suite, scale: str) -> None:
    trials = plan.trials(fanet, scale)
    place = {t.id: i for i, t in enumerate(trials)}
    assert len(place) == len(trials)
    assert all(t.start is None or place[t.start] < place[t.id] for t in trials)


def test_quick_needs_nothing_that_does_not_ship(fanet: Suite) -> None:
    assert {name for t in plan.trials(fanet, "quick") for name in t.data} <= {"clutter"}


def test_all_segmentation_at_paper_scale_starts_from_its_own_pretrained_network(fanet: Suite) -> None:
    trials = {t.id: t for t in plan.trials(fanet, "paper")}
    tuned = [t for t in trials.values() if "segmentation" in t.task]
    assert len(tuned) == 48, "all but the classifiers"
    for trial in tuned:
        assert trial.start is not None
        start = trials[trial.start]
        for key in ("scm", "frm", "bare", "widths", "depths", "stem_stride", "focal_window"):
            if key in trial.settings and trial.settings.get("network") != "deeplabv3plus":
                assert trial.settings[key] == start.settings[key]
        if start.settings["network"] == "resnet":
            assert trial.settings["encoder"] == start.settings["encoder"]
        else:
            assert trial.settings["network"] == start.settings["network"]


def test_rows_of_a_table_differ_in_their_network_alone(fanet: Suite) -> None:
    for scale, name in (("quick", "ablation"), ("desk", "ablation"), ("paper", "ablation_tuned")):
        rows = [t.settings for t in plan.trials(fanet, scale) if t.experiment == name]
        varying = {k for row in rows for k in row if row[k] != rows[0][k]}
        assert varying == {"scm", "frm"}


def test_networks_that_are_compared_at_equal_cost_cost_the_same(fanet: Suite) -> None:
    import torch

    from retable.models.fanet import Supervised, networks

    for scale in ("quick", "desk"):
        trials = plan.trials(fanet, scale)
        found = {}
        for cell in ("fanet", "focalnet_tiny"):
            settings = next(t.settings for t in trials if t.varied.get("cell") == cell and "segm" in t.task)
            with torch.device("meta"):
                net = networks.segmenter(Supervised.model_validate(dict(settings)), 5)
            found[cell] = networks.macs(net, settings["crop_height"], settings["crop_width"])
        assert found["fanet"] / found["focalnet_tiny"] == pytest.approx(1, abs=0.35)
