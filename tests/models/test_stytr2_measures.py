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
    content = np.random.default_rng(1).random(FLAT.shape)
    assert measures.flat_noise(FLAT, content) == pytest.approx(0, abs=1e-6)
    quiet, loud = (measures.flat_noise(noisy(sigma), content) for sigma in (0.01, 0.05))
    assert loud == pytest.approx(5 * quiet, rel=0.02)
    assert 0.7 * 2.55 < quiet < 2.55  # most of white noise lies above a blur of one pixel


def test_flat_noise_looks_only_where_the_content_is_flat() -> None:
    content = FLAT.copy()
    content[:, :, 16:] = np.random.default_rng(2).random((1, 32, 16, 3))
    output = FLAT.copy()
    output[:, :, 24:] = np.random.default_rng(3).random((1, 32, 8, 3))
    assert measures.flat_noise(output, content) < 0.5
    assert measures.flat_noise(output, content[:, :, ::-1]) > 20


def test_out_of_range_is_a_share_of_the_values() -> None:
    image = np.array([-0.1, 0, 0.5, 1, 1.1]).reshape(1, 1, 5, 1)
    assert measures.out_of_range(image) == pytest.approx(40)


def test_grey_has_no_colour() -> None:
    assert measures.colourfulness(np.random.default_rng(0).random((2, 8, 8, 1)).repeat(3, axis=3)) == 0
    red = np.zeros((1, 8, 8, 3))
    red[..., 0] = 1
    assert measures.colourfulness(red) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_similarity_of_equal_and_different_images() -> None:
    assert measures.similarity(FLAT[0], FLAT[0]) == pytest.approx(1)
    assert measures.similarity(noisy(0.2)[0], noisy(0.2, seed=5)[0]) < 0.5


def test_a_recoloured_content_is_preserved_and_noise_is_not() -> None:
    content = np.random.default_rng(4).random((1, 32, 32, 3)) * [0.2, 0.3, 0.4]
    assert measures.preservation(content[..., ::-1], content) == pytest.approx(1)  # channels swapped, grey as it was
    assert measures.preservation(noisy(0.2), content) < 0.3


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
