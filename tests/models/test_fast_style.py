"""The task of the optimizers paper through its public door: settings, network, training, resume, pictures."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torch import nn

from retable.bench.task import Context, Evaluation, find_task, load
from retable.models.fast_style import FastStyle, Reconstruction, data
from retable.models.fast_style.network import InstanceNorm, TransformNet
from retable.models.fast_style.reconstruction import ReconstructionTask
from retable.models.fast_style.task import FastStyleTask, flatness, initial_network

TINY: dict[str, Any] = {
    "size": 32, "images": 8, "batch_size": 2, "epochs": 2, "width": 2, "style_size": 32, "style_weight": 1e8,
    "precision": "fp32", "held_out": 2, "preview_size": 64,
}  # fmt: skip


def task(seed: int = 0, **changes: Any) -> FastStyleTask:
    return FastStyleTask(FastStyle(**{**TINY, **changes}), Context("cpu", seed))


def train(made: FastStyleTask | ReconstructionTask, start: int = 0, stop: int | None = None) -> list[float]:
    return [float(made.step(i)["loss/total"]) for i in range(start, made.steps if stop is None else stop)]


def through_a_file(state: Mapping[str, Any]) -> dict[str, Any]:
    """As a checkpoint does it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    read: dict[str, Any] = torch.load(buffer, weights_only=True)
    return read


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"style": "mosaik"}, "did you mean 'mosaic'"),
        ({"data": "photo"}, "did you mean 'photos'"),
        ({"data": "folder:"}, "unknown data 'folder:'"),
        ({"preview": "chelsae"}, "did you mean 'chelsea'"),
        ({"size": 50}, "multiple of 4"),
        ({"lr": 0}, "greater than 0"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"images": 0}, "give a number above 0"),
        ({"widht": 8}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_the_settings_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FastStyle(**{**TINY, **changes})


def test_both_tasks_are_found_and_list_what_they_read_without_torch() -> None:
    code = (
        "import sys; from retable.bench.task import find_task;"
        "s = find_task('fast_style'); r = find_task('vgg_reconstruction');"
        "assert list(s.data(s.settings(data='coco2017', weights='torchvision')))"
        " == ['coco2017', 'photos', 'styles', 'vgg16_torchvision'];"
        "assert list(s.data(s.settings(images=8))) == ['photos', 'styles', 'vgg16'];"
        "assert list(r.data(r.settings(target='style'))) == ['styles', 'vgg16'];"
        "heavy = {'torch', 'numpy', 'PIL', 'mlflow'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- network ------------------------------------------------------------------------------------


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("width", "count"), [(32, 1_679_235), (16, 424_899)])
def test_parameters_are_those_of_the_published_network(width: int, count: int) -> None:
    assert parameters(TransformNet(width)) == count
    assert parameters(TransformNet(width, norm="batch", upsample="deconv", output="linear")) == count


@given(
    height=st.integers(4, 12), width=st.integers(4, 12), batch=st.integers(1, 3),
    norm=st.sampled_from(["instance", "batch"]), upsample=st.sampled_from(["nearest", "deconv"]),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_an_image_keeps_its_size_and_range(height: int, width: int, batch: int, norm: Any, upsample: Any) -> None:
    x = torch.rand(batch, 3, 4 * height, 4 * width) * 255
    y = TransformNet(2, norm=norm, upsample=upsample)(x)
    assert y.shape == x.shape
    assert float(y.min()) >= 0
    assert float(y.max()) <= 255


def test_instance_norm_is_torchs() -> None:
    torch.manual_seed(0)
    ours, torchs = InstanceNorm(5, affine=True), nn.InstanceNorm2d(5, affine=True)
    with torch.no_grad():
        for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
            a.normal_()
            b.copy_(a)
    x = torch.randn(3, 5, 7, 6).contiguous(memory_format=torch.channels_last)
    xs = [x.clone().requires_grad_() for _ in range(2)]
    ys = [ours(xs[0]), torchs(xs[1])]
    torch.testing.assert_close(ys[0], ys[1], rtol=1e-5, atol=1e-5)
    for y in ys:
        y.pow(3).sum().backward()
    torch.testing.assert_close(xs[0].grad, xs[1].grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.weight.grad, torchs.weight.grad, rtol=1e-4, atol=1e-4)


# --- training -----------------------------------------------------------------------------------


def test_training_lowers_the_loss() -> None:
    losses = train(task(epochs=10))
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_losses_are_the_parts_and_carry_no_graph() -> None:
    losses = task().step(0)
    assert set(losses) == {"loss/total", "loss/content", "loss/style"}
    assert not any(loss.requires_grad for loss in losses.values())
    assert float(losses["loss/total"]) == pytest.approx(float(losses["loss/content"] + losses["loss/style"]))


def test_weights_scale_their_terms() -> None:
    plain, heavy = task().step(0), task(content_weight=3e5, style_weight=2e8).step(0)
    assert float(heavy["loss/content"]) == pytest.approx(3 * float(plain["loss/content"]), rel=1e-5)
    assert float(heavy["loss/style"]) == pytest.approx(2 * float(plain["loss/style"]), rel=1e-5)


def test_a_trial_repeats_bit_for_bit() -> None:
    torch.manual_seed(1)
    first = train(task())
    torch.manual_seed(2)  # what drew random numbers before must not matter
    assert train(task()) == first


@pytest.mark.parametrize("changes", [{"optimizer": "rprop", "lr": 0.1}, {"batch_size": 4}, {"foreach": True}])
def test_trials_of_one_seed_share_images_order_and_first_weights(changes: dict[str, Any]) -> None:
    a, b = task(), task(**changes)
    assert a.images is b.images
    assert all(torch.equal(p, q) for p, q in zip(a.net.parameters(), b.net.parameters(), strict=True))
    if "batch_size" not in changes:
        assert float(a.step(0)["loss/total"]) == float(b.step(0)["loss/total"])


def test_another_seed_has_other_images_and_other_weights() -> None:
    a, b = task(0), task(1)
    assert not np.array_equal(a.images, b.images)
    assert not torch.equal(next(a.net.parameters()), next(b.net.parameters()))


def test_every_epoch_sees_every_image_once_in_another_order() -> None:
    orders = [data.epoch_order(7, epoch, 20) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(20))
    assert not np.array_equal(orders[0], orders[1])


def test_a_last_batch_may_be_smaller() -> None:
    made = task(images=7, batch_size=4, epochs=2)
    assert made.steps == 4
    assert all(math.isfinite(loss) for loss in train(made))


@pytest.mark.parametrize("optimizer", ["adagrad", "adadelta", "rprop", "rmsprop", "adam", "adamax", "amsgrad", "nadam"])
def test_a_resumed_trial_goes_on_bit_for_bit(optimizer: str) -> None:
    straight = task(optimizer=optimizer, images=12, epochs=2)  # 12 steps; epochs of 6
    losses = train(straight, stop=10)
    broken_off = task(optimizer=optimizer, images=12, epochs=2)
    first = train(broken_off, stop=4)
    state = through_a_file(broken_off.state_dict())
    resumed = task(optimizer=optimizer, images=12, epochs=2)
    resumed.load_state_dict(state)
    assert first + train(resumed, start=4, stop=10) == losses
    for name, value in straight.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name]), name
    a, b = straight.evaluate(), resumed.evaluate()
    for metric in ("loss/final", "loss/last", "loss/held_out"):
        assert a.metrics[metric] == b.metrics[metric], metric


def test_batch_normalisation_resumes_too() -> None:
    straight = task(norm="batch", upsample="deconv", output="linear")
    losses = train(straight)
    first = task(norm="batch", upsample="deconv", output="linear")
    train(first, stop=3)
    second = task(norm="batch", upsample="deconv", output="linear")
    second.load_state_dict(through_a_file(first.state_dict()))
    assert train(second, start=3) == losses[3:]


def test_a_trial_may_start_from_anothers_network() -> None:
    pretrained = task()
    train(pretrained)
    context = Context("cpu", 5, start=through_a_file(pretrained.state_dict()))
    started = FastStyleTask(FastStyle(**TINY), context)
    for p, q in zip(started.net.parameters(), pretrained.net.parameters(), strict=True):
        assert torch.equal(p, q)


def test_targets_kept_for_all_are_those_computed_per_batch() -> None:
    kept, fresh = task(), task()
    assert kept.content_targets is not None
    fresh.content_targets = None
    np.testing.assert_allclose(train(kept, stop=1), train(fresh, stop=1), rtol=1e-5)


def test_targets_of_many_images_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "TARGETS_BYTES", 1000)
    assert task(images=9).content_targets is None


# --- evaluation ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished() -> tuple[FastStyleTask, list[float], Evaluation]:
    made = task()
    return made, train(made), made.evaluate()


def test_the_final_losses_are_the_means_they_say(finished: tuple[FastStyleTask, list[float], Evaluation]) -> None:
    made, losses, evaluation = finished
    assert made.steps_per_epoch == 4
    assert evaluation.metrics["loss/final"] == pytest.approx(np.mean(losses[4:]), rel=1e-6)
    assert evaluation.metrics["loss/last"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_every_metric_is_declared(finished: tuple[FastStyleTask, list[float], Evaluation]) -> None:
    made, _, evaluation = finished
    declared = find_task("fast_style").metrics
    assert set(evaluation.metrics) | set(made.step(0)) == set(declared)
    assert evaluation.metrics["model/parameters"] == parameters(TransformNet(2))
    assert evaluation.metrics["model/bits"] == 32
    assert evaluation.metrics["time/optimizer"] > 0


def test_facts_say_what_the_losses_hold_for(finished: tuple[FastStyleTask, list[float], Evaluation]) -> None:
    facts = finished[0].facts
    assert facts["precision_used"] == "fp32"
    assert facts["loss_network"]["source"] == "file"


def test_the_preview_is_the_photograph_in_other_clothes(
    finished: tuple[FastStyleTask, list[float], Evaluation],
) -> None:
    images = finished[2].images
    assert set(images) == {"stylised", "content", "style"}
    assert images["stylised"].shape == images["content"].shape == (40, 64, 3)
    assert all(image.dtype == np.uint8 for image in images.values())
    assert images["stylised"].std() > 5


def test_a_network_of_zeros_has_collapsed_and_a_trained_or_fresh_one_has_not(
    finished: tuple[FastStyleTask, list[float], Evaluation],
) -> None:
    assert finished[2].collapsed == task().evaluate().collapsed == ""
    dead = task()
    with torch.no_grad():
        for parameter in dead.net.parameters():
            parameter.zero_()
    found = dead.evaluate()
    assert found.collapsed == "every output is a constant picture"
    assert math.isfinite(found.metrics["loss/held_out"]) and len(np.unique(found.images["stylised"])) == 1


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ("coloured", "every output is a constant picture"),
        ("noisy", "every output is a constant picture"),
        ("equal", "the output is the same picture for every input"),
        ("one", ""),
        ("lively", ""),
        ("nan", ""),
    ],
)
def test_outputs_that_tell_nothing_of_their_input_are_flat(outputs: str, said: str) -> None:
    noise = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    colours = torch.tensor([250.0, 10.0, 90.0])[:, None, None].expand(3, 3, 8, 8)
    made = {
        "coloured": colours, "noisy": colours + 3 * noise, "equal": 255 * noise[:1].expand(3, 3, 8, 8) + noise,
        "one": 255 * noise[:1], "lively": 255 * noise, "nan": torch.full((3, 3, 8, 8), math.nan),
    }  # fmt: skip
    assert flatness(made[outputs]) == said


def test_evaluation_changes_nothing() -> None:
    looked, not_looked = task(norm="batch"), task(norm="batch")
    train(looked, stop=4)
    train(not_looked, stop=4)
    before = through_a_file(looked.state_dict())
    assert looked.evaluate().metrics["loss/held_out"] == looked.evaluate().metrics["loss/held_out"]
    after = looked.state_dict()
    for name, value in before["network"].items():
        assert torch.equal(value, after["network"][name]), name
    assert train(looked, start=4) == train(not_looked, start=4)


def test_the_held_out_loss_does_not_depend_on_batch_size_or_seed_of_data() -> None:
    a, b = task(batch_size=1), task(batch_size=8)
    assert a.evaluate().metrics["loss/held_out"] == b.evaluate().metrics["loss/held_out"]
    assert np.array_equal(data.held_out_images("photos", 32, 2), data.held_out_images("photos", 32, 2))


def test_the_initial_network_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    initial_network(FastStyle(**TINY), seed=9)
    assert torch.equal(torch.rand(2), expected)


def test_an_exploding_loss_is_returned_not_hidden() -> None:
    losses = train(task(output="linear", norm="batch", optimizer="sgd", lr=100, epochs=4))
    assert not all(math.isfinite(loss) for loss in losses)


# --- a folder of one's own images ---------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "data"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_a_folder_holds_out_its_last_images(pictures: Path) -> None:
    made = task(data=f"folder:{pictures}", images=0, epochs=1)
    assert len(made.images) == 8
    train(made)
    assert math.isfinite(made.evaluate().metrics["loss/held_out"])
    held_out = data.held_out_images(f"folder:{pictures}", 32, 2)
    assert not any(np.array_equal(h, t) for h in held_out for t in made.images)


def test_a_part_of_a_folder_is_chosen_by_seed(pictures: Path) -> None:
    a, b = (task(seed, data=f"folder:{pictures}", images=4, epochs=1).images for seed in (0, 1))
    assert len(a) == len(b) == 4
    assert not np.array_equal(a, b)


def test_more_images_than_there_are_is_an_error(pictures: Path) -> None:
    with pytest.raises(ValueError, match="has 8 training images"):
        task(data=f"folder:{pictures}", images=9)


# --- reconstruction -----------------------------------------------------------------------------


def rebuild(seed: int = 0, **changes: Any) -> ReconstructionTask:
    kwargs: dict[str, Any] = {"target": "content", "layer": "relu1_2", "size": 32, "iterations": 25, **changes}
    return ReconstructionTask(Reconstruction(**kwargs), Context("cpu", seed))


@pytest.mark.parametrize("target", ["content", "style"])
@pytest.mark.parametrize(("optimizer", "lr"), [("lbfgs", 1.0), ("adam", 0.05)])
def test_noise_becomes_the_layers_image(target: str, optimizer: str, lr: float) -> None:
    made = rebuild(target=target, optimizer=optimizer, lr=lr)
    losses = train(made)
    evaluation = made.evaluate()
    assert losses[0] == pytest.approx(1.0)
    assert evaluation.metrics["loss/total"] < 0.1
    assert evaluation.images["reconstruction"].shape == evaluation.images["target"].shape == (32, 32, 3)
    assert set(evaluation.metrics) == set(find_task("vgg_reconstruction").metrics)


def test_shallow_layers_keep_more_of_the_picture() -> None:
    errors = []
    for layer in ("relu1_2", "relu4_3"):
        made = rebuild(layer=layer, iterations=30)
        train(made)
        errors.append(made.evaluate().metrics["loss/pixels"])
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize(("optimizer", "lr"), [("lbfgs", 1.0), ("adam", 0.05)])
def test_a_resumed_reconstruction_goes_on_bit_for_bit(optimizer: str, lr: float) -> None:
    straight = train(rebuild(optimizer=optimizer, lr=lr), stop=10)
    first = rebuild(optimizer=optimizer, lr=lr)
    head = train(first, stop=4)
    second = rebuild(optimizer=optimizer, lr=lr)
    second.load_state_dict(through_a_file(first.state_dict()))
    assert head + train(second, start=4, stop=10) == straight


def test_specs_make_the_tasks() -> None:
    spec = find_task("fast_style")
    assert isinstance(load(spec.make)(FastStyle(**TINY), Context("cpu", 0)), FastStyleTask)
    assert load(find_task("vgg_reconstruction").make) is ReconstructionTask
