"""The family's tasks through the engine's door: steps, evaluation, a bit-exact resume, starts, pictures."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retable.bench.data import DataError, clutter
from retable.bench.run import training
from retable.bench.task import Context, Evaluation, find_task, load
from retable.models.fanet import SUPERVISED, pictures, tasks

COMMON: dict[str, Any] = {
    "data": "clutter",
    "image_size": 32,
    "train_images": 12,
    "val_images": 3,
    "test_images": 4,
    "unlabelled_images": 8,
    "steps": 6,
    "batch_size": 2,
    "lr": 4e-3,
    "crop_height": 32,
    "crop_width": 32,
}
TINY: dict[str, Any] = {
    "widths": (8, 16, 24, 32),
    "depths": (1, 1, 1, 1),
    "stem_stride": 2,
    "init": "fan_in",
    "decoder_channels": 8,
    "auxiliary_channels": 8,
    "encoder": "test_resnet",
}
CCT: dict[str, Any] = {"encoder": "test_resnet", "decoder_channels": 16, "feature_dropouts": 1, "feature_noises": 1}
CCT |= {"spatial_dropouts": 1, "cutouts": 1, "context_masks": 1, "object_masks": 1, "adversarial": 1}
RECO: dict[str, Any] = {"encoder": "test_resnet", "queries": 8, "negatives": 16, "embedding": 16, "weak": 0.2}

METHODS = {
    "fanet": ("waste_segmentation", TINY),
    "deeplab": ("waste_segmentation", {**TINY, "network": "deeplabv3plus", "hard_pixels": 0.3}),
    "cct": ("waste_segmentation_cct", CCT),
    "reco": ("waste_segmentation_reco", RECO),
}


@pytest.fixture(scope="module", autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETABLE_DATA", str(tmp_path_factory.mktemp("data")))
        yield


def make(name: str, *, seed: int = 0, start: Any = None, **settings: Any) -> Any:
    """A task as a worker makes it."""
    spec = find_task(name)
    training.seed_all(seed, "trial")
    return load(spec.make)(spec.settings.model_validate(settings), Context("cpu", seed, start))


def segmentation(method: str = "fanet", *, seed: int = 0, start: Any = None, **more: Any) -> Any:
    name, settings = METHODS[method]
    return make(name, seed=seed, start=start, **{**COMMON, **settings, **more})


def trained(task: Any, first: int = 0, last: int | None = None) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in task.step(i).items()} for i in range(first, last or task.steps)]


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_trial_goes_on_as_if_it_had_never_stopped(method: str) -> None:
    whole = segmentation(method)
    losses = trained(whole)
    first = segmentation(method)
    trained(first, 0, 3)
    checkpoint = training.pack(first, training.Standing(index=3))
    resumed = segmentation(method, seed=0)
    torch.manual_seed(99)
    random.seed(99)
    training.unpack(checkpoint, resumed)
    assert trained(resumed, 3) == losses[3:]
    a, b = (t.method.state_dict() for t in (whole, resumed))
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("method", METHODS)
def test_metrics_are_the_declared_ones_and_evaluation_changes_nothing(method: str) -> None:
    task = segmentation(method, steps=2)
    spec = find_task(METHODS[method][0])
    steps = trained(task)
    before = {k: v.clone() for k, v in task.module.state_dict().items()}
    found = task.evaluate()
    assert isinstance(found, Evaluation)
    assert set(steps[0]) | set(found.metrics) <= set(spec.metrics)
    assert {spec.objective, "quality/pixel_accuracy", "cost/macs"} <= set(found.metrics)
    assert all(torch.equal(v, before[k]) for k, v in task.module.state_dict().items())
    assert found.metrics == task.evaluate().metrics
    assert found.arrays["confusion"]["pixels"].sum() == 4 * 32 * 32
    assert (
        training.from_bytes(training.to_bytes(found.model))["network"].keys() == task.method.network.state_dict().keys()
    )


def test_the_loss_falls_and_scenes_are_learnt() -> None:
    task = segmentation(steps=60, batch_size=4, train_images=24, lr=8e-3)
    losses = [row["loss/total"] for row in trained(task)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    assert task.evaluate().metrics["quality/pixel_accuracy"] > 60


def test_trials_with_one_seed_see_the_same_pixels_whatever_their_network() -> None:
    a, b, other = segmentation(), segmentation("deeplab"), segmentation(seed=1)
    for step in (0, 5):
        assert all(np.array_equal(x, y) for x, y in zip(a.batches[step], b.batches[step], strict=True))
    assert not np.array_equal(a.batches[0][0], other.batches[0][0])


def test_the_best_weights_on_val_are_kept_and_evaluated() -> None:
    task = segmentation(keep="best", validate_every=2, steps=4)
    trained(task)
    kept = task.evaluate()
    assert kept.metrics["quality/val_miou"] == pytest.approx(task.best["miou"])
    assert set(kept.metrics) <= set(SUPERVISED)
    checkpoint = training.pack(task, training.Standing(index=4))
    again = segmentation(keep="best", validate_every=2, steps=4)
    training.unpack(checkpoint, again)
    assert again.evaluate().metrics == kept.metrics


def test_pictures_show_frames_truth_prediction_and_the_refinement_module() -> None:
    images = segmentation(steps=1, pictures=2).evaluate().images
    features = {f"refinement-{part}" for part in ("input", "high", "low", "output")}
    assert set(images) == {"input", "truth", "prediction"} | features
    assert {i.shape for i in images.values()} == {(2 * pictures.SIDE + pictures.GAP, pictures.SIDE, 3)}
    without = segmentation(steps=1, frm="off").evaluate().images
    assert set(without) == {"input", "truth", "prediction"}


def test_hooks_see_figure_4s_maps_and_are_taken_off() -> None:
    network = segmentation().method.network.eval()
    with pictures.refinement(network) as maps:
        network(torch.randn(1, 3, 32, 32))
    assert torch.equal(maps["high"] * 0, maps["input"] - maps["input"])
    module = network.backbone.stages[2][-1].enhance.frm
    high, low = module.split(maps["input"])
    assert torch.equal(maps["high"], high)
    assert torch.equal(maps["low"], low)
    assert not module._forward_hooks


@pytest.mark.parametrize("size", [(33, 50), (20, 97)])
def test_whole_frames_of_odd_sizes_are_predicted_pixel_by_pixel(size: tuple[int, int]) -> None:
    task = segmentation(divisor=32, resize="bounds", resize_long=64, resize_short=32)
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    task.method.network.eval()
    with torch.no_grad():
        assert tasks.predict(task.method.network, frame, task.settings, "cpu").shape == size


def test_weighted_classes_and_low_precision_train() -> None:
    task = segmentation(steps=2, class_weights="median", precision="bf16", schedule="steps", optimizer="sgd")
    assert all(np.isfinite(row["loss/total"]) for row in trained(task))
    assert task.method.weight is not None
    assert "method.weight" not in task.state_dict()


def test_workers_make_the_batches_that_the_main_process_makes() -> None:
    plain, ahead = segmentation(), segmentation(workers=1)
    for step in (0, 1, 4):  # in order, then a jump as after a resume
        for a, b in zip(plain.batches[step], ahead.batches[step], strict=True):
            assert np.array_equal(a, b)


def image_folder(base: Path, classes: int = 2, images: int = 4) -> str:
    for split, count in (("train", images), ("val", 2)):
        for kind in range(classes):
            folder = base / split / f"n{kind:08d}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = clutter.scene(40, kind, "train" if split == "train" else "val", i).image
                Image.fromarray(pixels).save(folder / f"{i}.JPEG")
    return f"folder:{base}"


CLASSIFICATION: dict[str, Any] = {"epochs": 2, "batch_size": 4, "lr": 1e-3, "image_size": 32, "warmup_epochs": 1}
CLASSIFICATION |= {k: TINY[k] for k in ("widths", "depths", "stem_stride", "init")}


@pytest.mark.parametrize("augment", ["full", "flip"])
def test_pretraining_resumes_measures_and_starts_segmentation(tmp_path: Path, augment: str) -> None:
    settings = {**CLASSIFICATION, "data": image_folder(tmp_path), "augment": augment}
    whole = make("waste_pretraining", **settings)
    assert whole.steps == 4  # two epochs of eight images
    losses = trained(whole)
    first = make("waste_pretraining", **settings)
    trained(first, 0, 2)
    checkpoint = training.pack(first, training.Standing(index=2))
    resumed = make("waste_pretraining", **settings)
    torch.manual_seed(5)
    training.unpack(checkpoint, resumed)
    assert trained(resumed, 2) == losses[2:]
    found = whole.evaluate()
    assert 0 <= found.metrics["quality/top1"] <= 100
    task = segmentation(start=found.model)
    assert torch.equal(task.method.network.backbone.stem.weight, whole.network.stem.weight)


def test_gradients_over_small_batches_are_those_of_the_large_one(tmp_path: Path) -> None:
    data = image_folder(tmp_path)
    settings = {**CLASSIFICATION, "data": data, "augment": "flip", "drop_path": 0.0}
    at_once = trained(make("waste_pretraining", **settings), 0, 3)
    in_parts = trained(make("waste_pretraining", **settings, micro_batch=2), 0, 3)
    assert [r["loss/total"] for r in in_parts] == pytest.approx([r["loss/total"] for r in at_once], rel=1e-4)


def test_learning_rates_follow_the_recipes(tmp_path: Path) -> None:
    task = make("waste_pretraining", **CLASSIFICATION, data=image_folder(tmp_path))
    rates = [task.rate(i) for i in range(task.steps)]
    assert rates[0] == pytest.approx(1e-6)
    assert rates[2] == pytest.approx(1e-3)
    assert rates[1] < rates[2] > rates[3]


def test_an_image_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="no folder per class"):
        make("waste_pretraining", **CLASSIFICATION, data=f"folder:{tmp_path}")
    (tmp_path / "train/a").mkdir()
    with pytest.raises(DataError, match="a holds no images"):
        make("waste_pretraining", **CLASSIFICATION, data=f"folder:{tmp_path}")


@pytest.mark.parametrize("part", ["image", "blurred", "product", "difference"])
def test_figure_2_has_its_pictures(part: str) -> None:
    task = make("waste_frequencies", data="clutter", image_size=64, part=part, blur=3.0)
    found = task.evaluate()
    assert task.steps == 0
    assert found.images["picture"].shape == (64, 64, 3)
    assert 0 <= found.metrics["detail/share"] <= 100


def test_blurring_takes_detail_away_and_the_difference_has_it() -> None:
    shares: Mapping[str, float] = {
        part: make("waste_frequencies", data="clutter", image_size=96, part=part, blur=3.0)
        .evaluate()
        .metrics["detail/share"]
        for part in ("image", "blurred", "difference")
    }
    assert shares["blurred"] < shares["image"] < shares["difference"]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="validate_every"):
        segmentation(keep="best")
    with pytest.raises(ValueError, match="ratio_low"):
        segmentation(ratio_low=2.0, ratio_high=1.0)
    with pytest.raises(ValueError, match="batch_size"):
        segmentation(batch_size=1)
