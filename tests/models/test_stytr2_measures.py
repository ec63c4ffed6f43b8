"""Noise, distances and mosaics on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retable.models.stytr2 import measures

FLAT = np.full((1, 32, 32, 3), 0.5)


def noisy(sigma: float, seed: int = 0) -> np.ndarray:
    return FLAT + np.random.default_rng(seed).normal(0, sigma, FLAT.shape)


def test_flat_noise_is_zero_for_flat_pictures_and_grows_with_the_noise() -> None:
    content = np.random.default_rng(1).random(FLAT.shape)[0]
    assert measures.flat_noise(FLAT[0], content) == pytest.approx(0, abs=1e-6)
    quiet, loud = (measures.flat_noise(noisy(sigma)[0], content) for sigma in (0.01, 0.05))
    assert loud == pytest.approx(5 * quiet, rel=0.02)
    assert 0.7 * 2.55 < quiet < 2.55  # most of white noise lies above a blur of one pixel


def test_flat_noise_looks_only_where_the_content_is_flat() -> None:
    content = FLAT[0].copy()
    content[:, 16:] = np.random.default_rng(2).random((32, 16, 3))
    output = FLAT[0].copy()
    output[:, 24:] = np.random.default_rng(3).random((32, 8, 3))
    assert measures.flat_noise(output, content) < 0.5
    assert measures.flat_noise(output, content[:, ::-1]) > 20


def test_constant_and_equal_outputs_are_told() -> None:
    assert measures.flatness(np.stack([FLAT[0], FLAT[0] + 0.2])) == "every output is a constant picture"
    assert measures.flatness(noisy(0.1).repeat(2, axis=0)) == "the output is the same picture for every input"
    assert measures.flatness(np.concatenate([noisy(0.1), noisy(0.1, seed=5)])) == ""


def test_similarity_of_equal_and_different_images() -> None:
    assert measures.similarity(FLAT[0], FLAT[0]) == pytest.approx(1)
    assert measures.similarity(noisy(0.2)[0], noisy(0.2, seed=5)[0]) < 0.5


def test_the_feature_distance_ignores_scale_and_ends_at_four() -> None:
    f = {"a": torch.rand(2, 3, 4, 4) + 0.1}
    assert measures.feature_distance(f, {"a": 7 * f["a"]}).abs().max() < 1e-6
    opposite = measures.feature_distance(f, {"a": -f["a"]})
    torch.testing.assert_close(opposite, torch.full((2,), 4.0))


def test_a_mosaic_enlarges_small_images_and_clamps() -> None:
    tile = np.full((64, 64, 3), 1.5)
    picture = measures.mosaic([[tile, -tile], [tile, tile]])
    assert picture.shape == (258, 258, 3)
    assert picture[0, 0, 0] == 255
    assert picture[0, 200, 0] == 0
    assert (picture[128:130] == 255).all()


def test_varied_pairs_repeat_as_late_as_possible() -> None:
    pairs = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [2, 2]])
    assert measures.varied(pairs, 3) == [0, 2, 4]
    assert len(measures.varied(pairs, 9)) == 5
