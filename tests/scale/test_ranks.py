"""One trial over several processes: the losses of one, whatever happens to the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from cluster import wait_for
from PIL import Image
from running import Ran, command, curve, finished, statuses
from together import found

from retable.bench.run import machine
from retable.bench.run.options import RunError
from retable.bench.task import find_task
from retable.models.fanet.classification import mirrored

Bench = Callable[..., Ran]

SIAMESE: dict[str, Any] = {"size": 8, "encoder": "conv4", "width": 2, "hidden": 16, "dim": 8, "batch_size": 48}
SIAMESE |= {"epochs": 2, "lr": 0.01, "snapshot_epochs": 1}
TINY: dict[str, Any] = {"widths": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "stem_stride": 2, "drop_path": 0}
TINY |= {"encoder": "test_resnet"}
FRAMES: dict[str, Any] = {"data": "clutter", "image_size": 32, "train_images": 12, "val_images": 3, "test_images": 4}
FRAMES |= {"steps": 6, "batch_size": 4, "lr": 1e-3, "crop_height": 32, "crop_width": 32, "dropout": 0, "rotate": 30}
FRAMES |= {**TINY, "init": "fan_in", "decoder_channels": 8, "auxiliary_channels": 8}
IMAGES: dict[str, Any] = {**TINY, "image_size": 32, "epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_epochs": 0}

SHARED = {
    "BYOL": ("siamese", {**SIAMESE, "target": "ema", "symmetric": True}),
    "DirectPred": ("siamese", {**SIAMESE, "predictor": "linear", "update": "directpred"}),
    "FANet": ("waste_segmentation", FRAMES),
    "DeepLab": ("waste_segmentation", {**FRAMES, "network": "deeplabv3plus", "class_weights": "median"}),
    "pretraining": ("waste_pretraining", IMAGES),
    "micro-batches": ("waste_pretraining", {**IMAGES, "network": "resnet", "micro_batch": 4}),
}


@pytest.fixture(scope="module", autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETABLE_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in the layout of ImageNet: two splits of three classes."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for place in (folder / split / f"class{c}" for split in ("train", "val") for c in range(3)):
        place.mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(place / f"{i}.JPEG")
    return folder


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> tuple[Any, Any]:
    """Of every task that can be shared, in one process and in two."""
    pretraining = {"data": f"folder:{pictures}"}
    given = {
        name: (task, {**settings, **(pretraining if task == "waste_pretraining" else {})}, 6)
        for name, (task, settings) in SHARED.items()
    }
    folder = tmp_path_factory.mktemp("losses")
    return found("losses", folder, 1, given), found("losses", folder, 2, given)


@pytest.mark.parametrize("which", SHARED)
def test_two_processes_have_the_losses_of_one(which: str, losses: tuple[Any, Any]) -> None:
    """To rounding: sums are added in another order. DirectPred takes square roots of eigenvalues near 0, which makes
    1e-8 in F 1e-4 in the predictor; what a process kept to itself would be off by tenths."""
    one, two = losses[0][which], losses[1][which]
    near = 1e-3 if which == "DirectPred" else 2e-5
    assert len(one) == 6 and one[0] != one[1]
    for step, (alone, together) in enumerate(zip(one, two, strict=True)):
        assert together == pytest.approx(alone, rel=near, abs=near), f"step {step}"


@pytest.mark.parametrize(("momentum", "affine"), [(0.1, True), (None, False)])
def test_synchronised_normalisation_is_that_of_the_whole_batch(
    tmp_path: Path, momentum: float | None, affine: bool
) -> None:
    given = {"momentum": momentum, "affine": affine}
    one, two = (found("norms", tmp_path, count, given) for count in (1, 2))
    assert set(one["state"]) == set(two["state"])
    for name in ("out", "gradient", "evaluated"):
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-10, err_msg=name)
    for mine, theirs in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10)
    for name, value in one["state"].items():
        np.testing.assert_allclose(two["state"][name], value, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(("batch", "micro", "count"), [(8, 0, 2), (16, 8, 2), (24, 8, 4), (6, 6, 3)])
def test_mirrored_shares_cover_a_batch_and_keep_the_pairs_that_are_mixed(batch: int, micro: int, count: int) -> None:
    shares = [mirrored(batch, micro, rank, count) for rank in range(count)]
    assert sorted(place for share in shares for place in share) == list(range(batch))
    part = micro or batch
    for share in shares:
        assert [batch - 1 - place for place in reversed(share)] == share
        assert [sum(place // part == k for place in share) for k in range(batch // part)] == [part // count] * (
            batch // part
        )


def test_what_cannot_be_shared_says_why() -> None:
    def alone(task: str, count: int, **settings: Any) -> str:
        spec = find_task(task)
        assert spec.alone is not None
        return spec.alone(spec.settings.model_validate(settings), count)

    assert "batch of 48" in alone("siamese", 5, **SIAMESE)
    assert "compile" in alone("siamese", 2, **SIAMESE, compile=True)
    assert "hard_pixels" in alone("waste_segmentation", 2, **{**FRAMES, "hard_pixels": 0.5})
    assert "pairs" in alone("waste_pretraining", 4, **{**IMAGES, "batch_size": 12})
    assert alone("waste_pretraining", 2, **IMAGES) == ""


@pytest.fixture
def shared(project: Path) -> Path:
    """The toy project with a suite whose trials can be shared."""
    (project / "suites" / "shared.yaml").write_text(
        "suite: shared\nabout: Shared trials.\npaper: {title: T, authors: [A], year: 2020}\npackages: toypaper\n"
        "settings:\n  steps: {value: 20, source: 'assumed: enough'}\n"
        "scales:\n  quick: {about: seconds}\n  long:\n    about: longer\n    settings:\n"
        "      steps: {value: 120, source: 'assumed: longer'}\n      pause: {value: 0.02, source: 'assumed: slow'}\n"
        "experiments:\n  sum: {task: shared, about: adds up, settings: {}, seeds: 2}\n"
        "  idle: {task: idle, about: overhead, settings: {}}\n"
    )
    return project


RUN = ("run", "shared", "--no-report", "--workers", "1")


def _points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    return {trial: curve(folder, run) for trial, (run,) in finished(folder).items()}


def test_a_shared_trial_through_the_front_door(shared: Path, bench: Bench) -> None:
    ran = bench(*RUN, "--ranks", "2")
    assert ran.code == 0, ran.err
    assert ran.err.count("idle: trials run in one process each, not in 2: the task 'idle' is not made for more") == 1
    together = _points(shared)
    assert len(together) == 3
    (shared / "mlruns" / "mlflow.db").unlink()
    (shared / "mlruns" / "optuna.db").unlink()
    assert bench(*RUN).code == 0
    alone = _points(shared)
    assert together.keys() == alone.keys()
    for trial, points in alone.items():
        assert [s for s, _ in together[trial]] == [s for s, _ in points]
        assert [v for _, v in together[trial]] == pytest.approx([v for _, v in points], abs=1e-6)


def _peers(pid: int) -> list[psutil.Process]:
    return [c for c in psutil.Process(pid).children(recursive=True) if c.cmdline()[-1:] == ["retable.bench.run.ranks"]]


def test_a_killed_process_of_a_trial_gives_it_back_and_it_goes_on(shared: Path, bench: Bench) -> None:
    slow = (*RUN, "--scale", "long", "--only", "sum", "--where", "seed=0", "--checkpoint-every", "0.3")
    process = command(*slow, "--ranks", "2")
    mark = shared / "mlruns" / "artifacts"
    wait_for(lambda: any(mark.rglob("checkpoint/*.pt")) or process.poll() is not None)
    (peer,) = _peers(process.pid)
    tree = {process.pid, *(c.pid for c in psutil.Process(process.pid).children(recursive=True))}
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in tree}
    assert listening <= {"127.0.0.1", "::1"}
    peer.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "a worker died" in err
    assert sorted(statuses(shared)) == ["FINISHED", "KILLED"]
    (points,) = _points(shared).values()
    (shared / "mlruns" / "mlflow.db").unlink()
    (shared / "mlruns" / "optuna.db").unlink()
    assert bench(*slow).code == 0  # the same alone, undisturbed
    (undisturbed,) = _points(shared).values()
    assert [v for _, v in points] == pytest.approx([v for _, v in undisturbed], abs=1e-6)


def test_the_processes_of_a_trial_end_with_its_worker(shared: Path) -> None:
    process = command(*RUN, "--scale", "long", "--only", "sum", "--where", "seed=0", "--ranks", "2")
    wait_for(lambda: _peers(process.pid) or process.poll() is not None)
    (peer,) = _peers(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not peer.is_running())


def test_the_reason_of_the_process_that_failed_is_told(shared: Path, bench: Bench) -> None:
    ran = bench(*RUN, "--only", "sum", "--where", "seed=0", "--set", "fail_rank=1", "--ranks", "2")
    assert ran.code == 3
    assert "rank 1: ValueError: the toy was told to fail" in ran.err
    ran = bench(*RUN, "--only", "sum", "--where", "seed=0", "--set", "fail_rank=0", "--ranks", "2")
    assert "ValueError: the toy was told to fail (tasks.py" in ran.err


def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    machine.fits("cuda", 1, 4)
    machine.fits("cuda:2", 1, 2)
    with pytest.raises(RunError, match="3 needs as many GPUs from cuda:2 on, and there are 2"):
        machine.fits("cuda:2", 1, 3)
    with pytest.raises(RunError, match="--workers 1"):
        machine.fits("cuda", 2, 2)
