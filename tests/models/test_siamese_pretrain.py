"""The pretraining task through its public door: steps, evaluation, state."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from retable.bench.task import Context, find_task, load
from retable.models import parallel
from retable.models.siamese import Pretraining, direct, dynamics, measures, network, pretrain

SMALL: dict[str, Any] = {
    "size": 8,
    "encoder": "conv4",
    "width": 2,
    "hidden": 16,
    "dim": 8,
    "batch_size": 240,
    "epochs": 2,
    "probe_epochs": 2,
    "lr": 0.1,
    "snapshot_epochs": 1,
}


def make(seed: int = 0, **settings: Any) -> pretrain.Siamese:
    torch.manual_seed(seed)
    return pretrain.make(Pretraining.model_validate({**SMALL, **settings}), Context("cpu", seed))


def losses(task: pretrain.Siamese, first: int, last: int) -> list[float]:
    return [float(task.step(i)["loss/total"]) for i in range(first, last)]


def w_p(task: pretrain.Siamese) -> torch.Tensor:
    return network.matrix(task.predictor).detach().clone()


def test_the_spec_leads_here_and_names_every_metric() -> None:
    spec = find_task("siamese")
    torch.manual_seed(0)
    task = load(spec.make)(spec.settings.model_validate(SMALL), Context("cpu", 0))
    assert task.steps == 20
    assert list(spec.data(spec.settings.model_validate(SMALL))) == ["patches"]
    named = {*task.step(0), *task.evaluate().metrics}
    assert named == set(spec.metrics)


@pytest.mark.parametrize("target", ["ema", "copied"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_loss_falls_and_lies_between_minus_two_and_two(target: str, symmetric: bool) -> None:
    seen = losses(make(target=target, symmetric=symmetric, tau=0.9, epochs=4), 0, 40)
    assert all(-2 <= loss <= 2 for loss in seen)
    assert sum(seen[-10:]) / 10 < sum(seen[:5]) / 5 - 0.3


def test_a_copied_target_is_an_average_that_forgets_at_once() -> None:
    """SimSiam reuses the online projector's output; BYOL at tau = 0 makes a second forward pass. Bit for bit equal."""
    copied = make(target="copied")
    of_copied = losses(copied, 0, 12)
    average = make(target="ema", tau=0.0)
    assert losses(average, 0, 12) == of_copied
    for a, b in zip(copied.encoder.parameters(), average.encoder.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_target_moves_by_the_average_alone() -> None:
    task = make(tau=0.99)
    assert task.target is not None
    before = [p.clone() for p in task.target.parameters()]
    task.step(0)
    for old, now, online in zip(before, task.target.parameters(), task.online.parameters(), strict=True):
        assert torch.allclose(now, old + 0.01 * (online - old), atol=1e-6)


@pytest.mark.parametrize("predictor", ["two_layer", "linear"])
def test_a_symmetric_predictor_stays_so(predictor: str) -> None:
    task = make(symmetric=True, predictor=predictor)
    for i in range(4):
        task.step(i)
        w = w_p(task)
        assert torch.allclose(w, w.T, atol=1e-6)


def test_a_symmetric_predictor_is_made_so_by_the_first_step_not_before() -> None:
    """As in the authors' series, whose first asymmetry is 1.41 with and without symmetry regularisation."""
    task = make(symmetric=True, dim=64, hidden=64)
    assert task.log.before.asymmetry == pytest.approx(2**0.5, rel=0.05)


@pytest.mark.parametrize("update", ["directpred", "directcopy"])
def test_a_closed_form_predictor_is_the_function_of_f_after_every_step(update: str) -> None:
    task = make(predictor="linear", update=update)
    for i in range(3):
        task.step(i)
        assert task.f is not None
        assert torch.equal(w_p(task), direct.SETTERS[update](task.f, 0.1).float())


def test_every_fifth_step_sets_the_predictor_and_sgd_trains_it_between() -> None:
    task = make(predictor="linear", update="directpred", update_every=5)
    changed_by_sgd = []
    for i in range(11):
        task.step(i)
        assert task.f is not None
        changed_by_sgd.append(not torch.equal(w_p(task), direct.directpred(task.f, 0.1).float()))
    assert changed_by_sgd == [i not in (4, 9) for i in range(11)]


def test_f_is_a_running_average_of_the_projectors_outputs() -> None:
    task = make(rho=0.3)
    task.step(0)
    assert task.f is not None
    first = task.f.clone()
    moments = []
    original = direct.second_moment
    direct_module = pretrain.direct

    def spy(*views: torch.Tensor) -> torch.Tensor:
        moments.append(original(*views))
        return moments[-1].clone()

    direct_module.second_moment = spy  # type: ignore[assignment]
    try:
        task.step(1)
    finally:
        direct_module.second_moment = original  # type: ignore[assignment]
    assert torch.allclose(task.f, 0.3 * first + 0.7 * moments[0], atol=1e-12)


@pytest.mark.parametrize(
    ("decayed", "expected"),
    [("all", (1, 1, 1)), ("heads", (0, 1, 1)), ("predictor", (0, 0, 1)), ("none", (0, 0, 0))],
)
def test_rates_and_decay_reach_the_parts_that_they_name(decayed: str, expected: tuple[int, int, int]) -> None:
    task = make(decayed=decayed, weight_decay=0.01, lr=0.2, lr_predictor=2.0)
    for part, decays in zip((task.encoder, task.projector, task.predictor), expected, strict=True):
        for group in task.optimizer.param_groups:
            inside = {id(p) for p in part.parameters()} & {id(p) for p in group["params"]}
            biases = {id(m.bias) for m in part.modules() if isinstance(m, torch.nn.Linear)}
            if inside:
                assert group["lr"] == (2.0 if part is task.predictor else 0.2)
                assert group["weight_decay"] == (0.01 * decays if not inside & biases else 0)


def test_the_predictor_can_have_a_decay_of_its_own() -> None:
    task = make(weight_decay=0.01, weight_decay_predictor=0.04)
    matrices = {id(p) for p in task.predictor.parameters() if p.ndim == 2}
    for group in task.optimizer.param_groups:
        inside = {id(p) for p in group["params"]}
        if any(p.ndim > 1 for p in group["params"]):
            assert group["weight_decay"] == (0.04 if inside & matrices else 0.01)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been() -> None:
    whole = make(predictor="linear", update="directpred", update_every=3)
    straight = losses(whole, 0, 15)
    half = make(predictor="linear", update="directpred", update_every=3)
    assert losses(half, 0, 12) == straight[:12]
    buffer, rng = io.BytesIO(), torch.get_rng_state()
    torch.save(half.state_dict(), buffer)

    buffer.seek(0)
    resumed = make(seed=0, predictor="linear", update="directpred", update_every=3)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    torch.set_rng_state(rng)
    assert losses(resumed, 12, 15) == straight[12:]
    assert torch.equal(w_p(resumed), w_p(whole))
    assert resumed.log.epochs == whole.log.epochs == [0]
    assert dynamics.summary(resumed.log.last) == dynamics.summary(whole.log.last)


def test_evaluating_changes_nothing() -> None:
    without = losses(make(), 0, 6)
    task = make()
    assert losses(task, 0, 3) == without[:3]
    rng = torch.get_rng_state()
    before = copy.deepcopy(task.state_dict())
    first = task.evaluate()
    assert torch.equal(torch.get_rng_state(), rng)
    assert dict(first.metrics) == dict(task.evaluate().metrics)
    for name, tensor in task.encoder.state_dict().items():
        assert torch.equal(tensor, before["encoder"][name])
    assert losses(task, 3, 6) == without[3:]


def test_an_untrained_encoder_has_its_row() -> None:
    """Above the chance of one in twelve, with a spectrum, and an asymmetry near the root of two."""
    task = make(epochs=0, size=16, width=8, dim=32, hidden=64)
    assert task.steps == 0
    found = task.evaluate()
    assert found.collapsed == ""
    assert found.metrics["decay/encoder"] == found.metrics["decay/predictor"] == 0
    assert found.metrics["probe/lbfgs"] > 40
    assert found.metrics["dynamics/asymmetry"] == pytest.approx(2**0.5, rel=0.1)
    assert found.arrays["dynamics"]["eig_f"].shape == (0, 32)


def test_an_untrained_encoder_is_seen_with_statistics_of_the_data() -> None:
    """Those of one pass, so that a training whose rate is next to nothing ends as none does."""
    settings = {"size": 16, "width": 4, "batch_size": 480}
    none = make(epochs=0, **settings)
    still = make(epochs=20, lr=1e-12, weight_decay=0.0, **settings)
    losses(still, 0, still.steps)
    found = none.evaluate().metrics["features/rankme_centred"]
    assert still.evaluate().metrics["features/rankme_centred"] == pytest.approx(found, rel=0.02)
    raw = none._features(none.encoder, none.images)
    assert measures.rankme(raw - raw.mean(0)) != pytest.approx(found, rel=0.1), "as torch starts: mean 0, variance 1"


def test_trials_with_one_seed_start_from_the_same_network() -> None:
    """Whatever torch's generator stands at, and whatever the cell: encoder and projector are drawn first."""
    torch.manual_seed(5)
    first = make(seed=3, symmetric=True)
    torch.manual_seed(6)
    other = pretrain.make(Pretraining.model_validate({**SMALL, "predictor": "linear"}), Context("cpu", 3))
    for a, b in zip(first.online.parameters(), other.online.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(make(seed=4).encoder.parameters()), next(first.encoder.parameters()))


def test_making_a_network_leaves_the_generator_of_its_views_alone() -> None:
    torch.manual_seed(5)
    pretrain.make(Pretraining.model_validate(SMALL), Context("cpu", 3))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


def test_the_spectrum_before_training_sees_the_views_that_training_sees() -> None:
    bilinear, bicubic = (make(interpolation=word).log.before.eig_f for word in ("bilinear", "bicubic"))
    assert not (bilinear == bicubic).all()


def test_an_encoder_that_gives_every_image_the_same_has_collapsed() -> None:
    task = make()
    task.step(0)
    assert task.evaluate().collapsed == ""
    with torch.no_grad():
        task.encoder[-3].weight.zero_()
        task.encoder[-3].bias.fill_(0.5)
    found = task.evaluate()
    assert found.collapsed == "constant features"
    assert found.metrics["probe/lbfgs"] == pytest.approx(100 / 12, abs=0.1)


def test_a_probe_for_choosing_settings_sees_no_test_image(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make()
    before = task.evaluate().metrics
    original = pretrain.load_images

    def dark(name: str, split: Any, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = original(name, split, size)
        return (images * 0 if split == "test" else images), labels

    monkeypatch.setattr(pretrain, "load_images", dark)
    after = task.evaluate().metrics
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"probe/lbfgs", "probe/adam"}
    assert find_task("siamese").objective == "probe/held_out"


def test_one_process_of_several_evaluates_alone() -> None:
    """Batch norm that is joined with other processes' would wait for them; there are none here, and it would raise."""
    task = make()
    task.step(0)
    expected = dict(task.evaluate().metrics)
    parallel.synchronise_(task.online)
    assert any(isinstance(m, parallel.SyncBatchNorm) for m in task.encoder.modules())
    assert dict(task.evaluate().metrics) == expected


def test_decay_times_are_rate_times_decay_times_steps_over_one_less_momentum() -> None:
    found = make(epochs=7, lr=0.2, lr_predictor=2.0, weight_decay=0.003, decayed="predictor").evaluate().metrics
    assert found["decay/encoder"] == 0
    assert found["decay/predictor"] == pytest.approx(2.0 * 0.003 * 70 * 10)


def test_snapshots_are_taken_every_few_epochs_and_at_the_end() -> None:
    task = make(epochs=5, snapshot_epochs=3)
    losses(task, 0, task.steps)
    arrays = task.evaluate().arrays["dynamics"]
    assert arrays["epoch"].tolist() == [0, 3, 4]
    assert arrays["epochs_done"].tolist() == [0, 1, 4, 5]
    assert arrays["eig_f"].shape == arrays["eig_w"].shape == arrays["alignment"].shape == (3, 8)
    assert arrays["asymmetry"].shape == (4,)


def test_a_run_that_diverges_shows_it_in_its_loss_and_its_probe() -> None:
    """The step returns a loss that is not finite, which ends the trial; a snapshot on the way does not raise."""
    task = make(predictor="linear", update="directpred")
    next(task.encoder.parameters()).data.fill_(float("nan"))
    last = task.batches - 1
    assert torch.isnan(task.step(last)["loss/total"])
    assert task.log.epochs == []
    with pytest.raises(ValueError, match="not finite: its training has diverged"):
        task.evaluate()


@pytest.mark.parametrize("loss", ["simclr", "barlow_twins", "vicreg"])
def test_a_control_trains_without_predictor_and_target(loss: str) -> None:
    task = make(loss=loss, target="copied", lr=0.02, epochs=4)
    start = w_p(task)
    seen = losses(task, 0, 40)
    assert sum(seen[-10:]) < sum(seen[:10])
    assert torch.equal(w_p(task), start)
    assert task.evaluate().metrics["decay/predictor"] == 0


def test_rates_warm_up_and_fall_along_a_cosine() -> None:
    task = make(epochs=4, warmup_epochs=1, schedule="cosine", lr=0.2, lr_predictor=2.0, weight_decay=0.01)
    seen = []
    for i in range(40):
        task.step(i)
        seen.append([group["lr"] for group in task.optimizer.param_groups if group["weight_decay"]])
    encoder, predictor = [rates[0] for rates in seen], [rates[-1] for rates in seen]
    assert predictor == pytest.approx([10 * rate for rate in encoder])
    assert encoder[:11] == pytest.approx([*(0.02 * i for i in range(1, 11)), 0.2])
    assert encoder[25] == pytest.approx(0.1)
    assert encoder[10:] == sorted(encoder[10:], reverse=True)
    assert 0 < encoder[-1] < 0.002
    assert task.evaluate().metrics["decay/encoder"] == pytest.approx(sum(encoder) * 0.01 * 10)


def test_a_subset_is_taken_evenly_from_the_training_images_and_tested_on_all() -> None:
    task = make(images=480)
    assert torch.bincount(task.labels).tolist() == [40] * 12
    assert len(task.fit) == len(task.held) == len(task.images) == 480
    assert make(images=9999).images.shape == make().images.shape


def test_batches_show_every_image_once_an_epoch_in_the_seeds_order() -> None:
    task = make()
    batches = [task._batch(i) for i in range(task.batches)]
    seen = torch.cat(batches).flatten(1)
    assert len(torch.unique(seen, dim=0)) == len(torch.unique(task.images.flatten(1), dim=0))
    assert torch.equal(make(lr=0.3)._batch(0), batches[0]), "trials with one seed see the same order"
    assert not torch.equal(task._batch(task.batches), batches[0])
    assert not torch.equal(make(seed=1)._batch(0), batches[0])


def test_bf16_stays_near_fp32() -> None:
    exact, rough = losses(make(lr=0.01), 0, 3), losses(make(lr=0.01, precision="bf16"), 0, 3)
    assert rough == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update": "directpred"}, "write predictor: linear"),
        ({"data": "cifar10", "size": 16}, "cifar10 has 32 pixels"),
        ({"size": 24}, "8, 16 or 32"),
        ({"tau": 1.0}, "less than 1"),
        ({"loss": "simclr", "target": "ema"}, "neither target nor predictor"),
        ({"loss": "vicreg", "target": "copied", "symmetric": True}, "neither target nor predictor"),
        ({"warmup_epochs": 3, "epochs": 2}, "more than the 2 epochs"),
    ],
)
def test_settings_that_cannot_be_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pretraining.model_validate(settings)


def test_a_batch_larger_than_the_data_is_told() -> None:
    with pytest.raises(ValueError, match="batch_size 4000 is more than the 2400 images of 'patches'"):
        make(batch_size=4000)
