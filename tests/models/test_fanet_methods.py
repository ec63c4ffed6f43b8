"""Augmentation, losses, and the parts of the semi-supervised methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from retable.models.fanet import RegionalContrast, Supervised, augment, cct, optim, reco, stream

PLAIN = augment.Recipe(
    crop=(16, 16), resize=None, ratio=(1.0, 1.0), category=1.0, photometric="off", rotate=0.0, ignore=255
)


def frame(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A frame whose mask can be told from its pixels: class = red channel."""
    mask = np.random.default_rng(seed).integers(0, 5, (height, width), dtype=np.uint8)
    return np.repeat(mask[..., None], 3, axis=2), mask


@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_frame_and_mask_stay_together_and_padding_is_ignored(height: int, width: int, seed: int) -> None:
    pixels, mask = augment.train(*frame(height, width), PLAIN, np.random.default_rng(seed))
    assert pixels.shape == (16, 16, 3)
    assert mask.shape == (16, 16)
    inside = mask != 255
    assert (pixels[inside][:, 0] == mask[inside]).all()
    assert (pixels[~inside] == 0).all()
    assert inside.sum() == min(16, height) * min(16, width)


def test_frames_are_fitted_as_the_released_configuration_does() -> None:
    assert augment.fitted((1080, 1920), (2048, 512)) == (512, 910)
    assert augment.test_size((1080, 1920), (2048, 512), 32) == (512, 928)
    assert augment.test_size((65, 64), None, 32) == (96, 64)


def test_a_crop_of_one_class_is_avoided_where_it_can_be() -> None:
    mask = np.zeros((16, 64), np.uint8)
    mask[:, 56:] = 2
    pixels = np.repeat(mask[..., None], 3, axis=2)
    picky = augment.Recipe(**{**vars(PLAIN), "category": 0.75})
    shares = [
        (augment.train(pixels, mask, r, np.random.default_rng(i))[1] == 2).any()
        for r in (PLAIN, picky)
        for i in range(60)
    ]
    assert sum(shares[60:]) > 2 * sum(shares[:60])


def test_a_resized_mask_has_no_new_classes() -> None:
    wide = augment.Recipe(**{**vars(PLAIN), "ratio": (0.5, 2.0), "resize": (64, 24), "rotate": 90.0})
    mask = np.where(np.arange(32) < 16, 0, 4).astype(np.uint8)[None].repeat(32, 0)
    for i in range(20):
        found = augment.train(np.zeros((32, 32, 3), np.uint8), mask, wide, np.random.default_rng(i))[1]
        assert set(np.unique(found)) <= {0, 4, 255}


def test_colours_are_distorted_within_their_bounds_and_grey_stays_grey() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    for i in range(40):
        found = augment.distorted(grey, np.random.default_rng(i)).astype(int)
        assert found.shape == grey.shape
        assert np.ptp(found, axis=2).max() <= 1
        assert 128 * 0.5 - 34 <= found.min() <= found.max() <= (128 + 32) * 1.5 + 1


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 3))
def test_every_sample_comes_once_before_any_comes_twice(count: int, batch: int, seed: int) -> None:
    flat = [i for step in range(2 * count) for i in stream.chosen(step, batch, count, seed)]
    for first in range(0, len(flat) - count, count):
        assert sorted(flat[first : first + count]) == list(range(count))


def test_cross_entropy_is_torchs_but_for_all_ignored_and_hard_pixels() -> None:
    scores, target = torch.randn(2, 5, 6, 6), torch.randint(0, 5, (2, 6, 6))
    target[0, :3] = 255
    weight = torch.rand(5)
    assert torch.allclose(optim.cross_entropy(scores, target), F.cross_entropy(scores, target, ignore_index=255))
    weighted = F.cross_entropy(scores, target, weight, ignore_index=255)
    assert torch.allclose(optim.cross_entropy(scores, target, weight), weighted)
    assert optim.cross_entropy(scores, torch.full_like(target, 255)) == 0
    assert optim.cross_entropy(scores, torch.full_like(target, 255), hardest=0.5) == 0
    each = F.cross_entropy(scores, target, ignore_index=255, reduction="none")[target != 255]
    assert torch.allclose(
        optim.cross_entropy(scores, target, hardest=0.1), each.sort().values[-int(0.1 * len(each)) :].mean()
    )


def recipe(**more: Any) -> Supervised:
    return Supervised.model_validate({"data": "clutter", "steps": 100, "batch_size": 2, "lr": 1.0, **more})


def test_learning_rates_follow_the_presets() -> None:
    assert [optim.rate(recipe(), i) for i in (0, 50, 75)] == pytest.approx([1.0, 0.5, 0.25])
    assert optim.rate(recipe(power=0.95, min_lr=1e-7), 50) == pytest.approx(0.5**0.95, rel=1e-5)
    warm = recipe(warmup_steps=10, warmup_ratio=1e-6)
    assert optim.rate(warm, 0) == pytest.approx(1e-6)
    assert optim.rate(warm, 5) == pytest.approx(0.95 * 0.5, rel=1e-4)
    steps = recipe(schedule="steps")
    assert [optim.rate(steps, i) for i in (19, 20, 40, 60, 95)] == pytest.approx([1, 0.1, 1e-2, 1e-3, 1e-4])


IDENTITY = nn.Identity()


def test_a_decoder_begins_as_nearest_neighbour_upsampling() -> None:
    torch.manual_seed(0)
    scores = cct.decoder(8, 5)(torch.randn(2, 8, 3, 4))
    assert scores.shape == (2, 5, 24, 32)
    blocks = scores.unfold(2, 8, 8).unfold(3, 8, 8).flatten(4)
    assert torch.allclose(blocks.amax(-1), blocks.amin(-1))
    assert float(scores.detach().std()) > 0.3


def test_perturbations_touch_what_they_should() -> None:
    torch.manual_seed(0)
    z, classes = torch.rand(2, 8, 6, 6) + 0.1, torch.zeros(2, 6, 6, dtype=torch.long)
    classes[:, 1:5, 1:5] = 3
    objects, context = cct.object_mask(z, classes, IDENTITY), cct.context_mask(z, classes, IDENTITY)
    assert torch.allclose(objects + context, z)
    assert (objects[:, :, 2, 2] == 0).all()
    noise = cct.feature_noise(z, classes, IDENTITY) / z
    assert 0.7 <= float(noise.min()) < float(noise.max()) <= 1.3
    assert torch.allclose(noise[0], noise[1], atol=1e-5)
    dropped = cct.feature_dropout(z, classes, IDENTITY) == 0
    strength = z.mean(1)
    assert dropped.any() and (strength[dropped.all(1)].min() > strength[~dropped.any(1)].max() - 0.5)
    cut = (cct.guided_cutout(z, classes, IDENTITY) == 0).all(1)
    assert cut.any() and not cut[:, 0].any() and not cut[:, :, 5].any()


def test_the_adversarial_perturbation_changes_the_output_more_than_chance() -> None:
    torch.manual_seed(0)
    decode = nn.Conv2d(8, 5, 1)
    z, classes = torch.randn(4, 8, 6, 6), torch.zeros(4, 6, 6, dtype=torch.long)
    before = decode(z).softmax(1)

    def change(perturbed: torch.Tensor) -> float:
        return float(F.kl_div(decode(perturbed).log_softmax(1), before, reduction="batchmean").detach())

    chance = z + cct.RADIUS * cct._unit(torch.randn_like(z))
    assert change(cct.adversarial(z, classes, decode)) > 2 * change(chance)
    assert decode.weight.grad is None


def test_the_unsupervised_weight_grows_to_one() -> None:
    values = [cct.ramp(p, 0.1) for p in (0.0, 0.05, 0.1, 1.0)]
    assert values[0] == pytest.approx(np.exp(-5))
    assert values[0] < values[1] < values[2] == values[3] == 1


def contrast(**more: Any) -> RegionalContrast:
    words = {"data": "clutter", "steps": 1, "batch_size": 2, "lr": 1.0, "queries": 32, "negatives": 64, **more}
    return RegionalContrast.model_validate(words)


def test_separated_regions_have_less_contrast_to_learn_than_mixed_ones() -> None:
    torch.manual_seed(0)
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :, 4:] = 2
    unsure = torch.full((1, 5, 8, 8), 0.2)
    apart = torch.zeros(1, 4, 8, 8)
    apart[:, 0, :, :4] = 1
    apart[:, 1, :, 4:] = 1
    mixed = F.normalize(torch.randn(1, 4, 8, 8), dim=1)
    good, bad = (float(reco.contrastive(r, labels, unsure, contrast())) for r in (apart, mixed))
    assert good < bad
    # Equation 1 with all negatives at a right angle to the query.
    assert good == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 64)), rel=1e-4)


def test_contrast_is_zero_but_differentiable_without_two_classes_or_hard_queries() -> None:
    rep = F.normalize(torch.randn(1, 4, 8, 8), dim=1).requires_grad_()
    one = torch.zeros(1, 8, 8, dtype=torch.long)
    two = one.clone()
    two[:, :, 4:] = 1
    sure = torch.ones(1, 5, 8, 8)
    for labels in (one, two):
        loss = reco.contrastive(rep, labels, sure, contrast())
        loss.backward()
        assert float(loss.detach()) == 0


def test_negatives_come_from_other_classes_alone() -> None:
    members = [torch.arange(0, 10), torch.arange(10, 30), torch.arange(30, 32)]
    found = reco._negatives(1, torch.eye(3), members, contrast())
    assert found.shape == (32, 64)
    assert not ((found >= 10) & (found < 30)).any()


def test_class_mix_pastes_pixels_with_their_labels() -> None:
    torch.manual_seed(1)
    labels = torch.randint(0, 5, (3, 8, 8))
    images = labels[:, None].float().repeat(1, 3, 1, 1) + 10 * torch.arange(3)[:, None, None, None]
    mixed, mixed_labels, _ = reco.class_mix(images, labels, labels.float())
    assert torch.equal(mixed[:, 0] % 10, mixed_labels.float())
    sources = (mixed[:, 0] // 10).long()
    assert all(set(sources[i].unique().tolist()) == {i, (i - 1) % 3} for i in range(3))


def test_the_teacher_averages_then_follows() -> None:
    torch.manual_seed(0)
    method = reco.RegionalContrastMethod(contrast(encoder="test_resnet", embedding=8, ema=0.9), 5)
    start = next(method.teacher.parameters()).clone()
    with torch.no_grad():
        for p in method.network.parameters():
            p.add_(1)
    method.after_step()  # the first update: half of each
    assert torch.allclose(next(method.teacher.parameters()), start + 0.5)
    for _ in range(200):
        method.after_step()
    assert torch.allclose(next(method.teacher.parameters()), start + 1, atol=1e-4)
    assert not any(p.requires_grad for p in method.teacher.parameters())
