"""The conformance checks on ourselves: every task and data source that ships, and the papers made up for tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import ROOT

from retable.bench import data
from retable.bench.task import listed
from retable.bench.testing import cases, check_source

STEPS = 4

SHARED = {"steps": STEPS, "train_images": 16, "val_images": 4, "test_images": 4, "unlabelled_images": 16, "pictures": 1}
FRAMES = {**SHARED, "image_size": 32, "crop_height": 32, "crop_width": 32, "batch_size": 2, "decoder_channels": 8}
SHAPE = {"widths": (8, 8, 8, 8), "depths": (1, 1, 1, 1)}
RECIPE = {"epochs": 2, "warmup_epochs": 1, "batch_size": 4, "micro_batch": 0, "workers": 0, "precision": "fp32"}
PAIRS = {"size": 32, "width": 16, "ffn": 32, "validation_pairs": 2}
PICTURE = {"resolution": "64x48"}
CROPS = {"steps": STEPS, "images": 8, "held_out": 2, "size": 32, "batch_size": 2}

TINY: dict[str, dict[str, Any]] = {
    "waste_segmentation": {**FRAMES, **SHAPE, "auxiliary_channels": 8},
    "waste_segmentation_cct": FRAMES,
    "waste_segmentation_reco": FRAMES,
    "waste_pretraining": {**SHAPE, **RECIPE, "image_size": 32},
    "waste_network_cost": {**SHAPE, "image_size": 64},
    "waste_frequencies": {"image_size": 64},
    "fast_style": {"images": 8, "held_out": 2, "size": 32, "style_size": 32, "width": 4, "preview_size": 48},
    "vgg_reconstruction": {"size": 32, "iterations": STEPS},
    "siamese": {"epochs": 1, "probe_epochs": 2, "batch_size": 1024},
    "siamese_linear": {"units": 4, "steps": STEPS},
    "decoder": CROPS,
    "srcnn": {**CROPS, "size": 33, "patches": 2},
    "gatys": {**PICTURE, "steps": STEPS},
    "deep_photo": {**PICTURE, "steps": STEPS},
    "adain": PICTURE,
    "wct": PICTURE,
    "photo_wct": PICTURE,
    "reference_picture": PICTURE,
    "stylised_pairs": {"count": 2, "size": 64},
    "stytr2": {**PAIRS, "steps": STEPS, "validate_every": 2},
    "stytr2_pairs": {**PAIRS, "searched": 4},
    "stytr2_reference": {**PAIRS, "reference": "pixels", "steps": STEPS},
    "unrolled": {"steps": STEPS, "images": 8, "held_out": 2, "size": 32, "width": 8, "pairs": 1, "preview_size": 48},
    "unrolled_picture": PICTURE,
    "stylised_video": {**PICTURE, "frames": 3},
    "texture": {"size": 48},
    "stylising_time": {**PICTURE, "repeats": 1},
}
"""Task -> settings over those of its first trial, so that it takes a second."""

NAMES = sorted(spec.name for _, spec in listed(["retable.models"], "TASKS"))


@cache
def shipped() -> Mapping[str, cases.Case]:
    """Task -> its first trial in the suites; from another's model where it is never trained from scratch."""
    found: dict[str, cases.Case] = {}
    for case in cases.of_project(["retable.models"]):
        found.setdefault(case.task, case)
    return found


@pytest.fixture
def classes(tmp_path: Path) -> str:
    """A folder of pictures in two classes, for what is trained on ImageNet."""
    for part in ("train", "val"):
        for i, name in enumerate(("cat", "dog")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for j in range(4):
                Image.fromarray(np.full((40, 40, 3), 60 * i + 10 * j, np.uint8)).save(folder / f"{j}.png")
    return f"folder:{tmp_path}"


def test_every_task_that_ships_is_tried() -> None:
    assert set(NAMES) == set(TINY) == set(shipped())


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_ships_conforms(name: str, classes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    own = {"data": classes} if "imagenet1k" in shipped()[name].data else {}
    shipped()[name].check(STEPS, {**TINY, name: {**TINY[name], **own}})


@pytest.mark.parametrize("name", sorted(data.sources()))
def test_data_that_ships_conforms(name: str) -> None:
    check_source(name)


@pytest.mark.parametrize("paper", ["toy", "sixth_paper"])
def test_pytest_tries_all_that_a_project_brings(paper: str, tmp_path: Path) -> None:
    """As a third party runs it, in a folder with suites."""
    project = tmp_path / paper
    shutil.copytree(ROOT / "tests" / paper, project, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--pyargs", "retable.bench.testing"]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
    tried = {"toy": ["descent", "descent from descent", "idle", "shared"], "sixth_paper": ["denoise"]}[paper]
    assert [
        line.split("test_task[")[1].split("]")[0] for line in ran.stdout.splitlines() if "test_task" in line
    ] == tried
