"""Pairs, their split and their order; what the settings refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from retable.bench.data import photos, styles
from retable.models.stytr2 import TASKS, Model, Training, data

SMALL: dict[str, Any] = {"contents": 6, "styles": 4, "size": 32, "width": 16, "heads": 2, "pairs_per_content": 4}


def test_the_papers_numbers_of_pairs() -> None:
    pairs = data.pairs(Model(), 3000, 8145)
    assert pairs.train.shape == (18_000, 2)  # 2,250 steps of 8
    assert pairs.validation.shape == (9_000, 2)
    assert len(np.unique(pairs.train[:, 1])) > 7_000  # nearly all styles


def test_upstream_uses_as_many_styles_as_there_are_contents_and_draws_the_contents() -> None:
    pairs = data.pairs(Model(pairing="upstream"), 3000, 8145)
    assert pairs.train[:, 1].max() < 3000
    assert (pairs.train[:, 0] == -1).all()
    assert (pairs.validation[:, 0] >= 0).all()
    first, again, later = (data.batch(pairs, 3000, step=s, size=8, seed=1) for s in (5, 5, 6))
    assert np.array_equal(first, again)
    assert (first[:, 0] >= 0).all()
    assert not np.array_equal(first[:, 0], later[:, 0])


@settings(deadline=None, max_examples=30)
@given(contents=st.integers(4, 20), styles=st.integers(4, 11), per_content=st.integers(2, 4))
def test_training_and_validation_pairs_are_disjoint_and_all_different(
    contents: int, styles: int, per_content: int
) -> None:
    pairs = data.pairs(Model(pairs_per_content=per_content), contents, styles)
    every = [tuple(pair) for pair in np.concatenate([pairs.train, pairs.validation])]
    assert len(set(every)) == len(every)
    assert len(pairs.train) == int(0.6 * contents * per_content)
    assert len(pairs.validation) == int(0.3 * contents * per_content)


def test_fewer_validation_pairs_are_the_first_of_them() -> None:
    some = data.pairs(Model(validation_pairs=5), 30, 11).validation
    assert np.array_equal(some, data.pairs(Model(), 30, 11).validation[:5])


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 7), seed=st.integers(0, 5))
def test_an_epoch_sees_every_pair_once(size: int, seed: int) -> None:
    pairs = data.pairs(Model(pairs_per_content=3), 7, 4)
    n = len(pairs.train)
    stream = np.concatenate([data.batch(pairs, 7, step=s, size=size, seed=seed) for s in range(-(-n // size))])
    assert {tuple(p) for p in stream[:n]} == {tuple(p) for p in pairs.train}


def test_too_few_styles_or_pairs_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="10 different styles are asked for, there are 5"):
        data.pairs(Model(), 8, 5)
    with pytest.raises(ValueError, match="validation_pairs: 50 of 12"):
        data.pairs(Model(pairs_per_content=5, validation_pairs=50), 8, 5)


def test_the_embedded_pool_is_the_same_for_everyone() -> None:
    pool = data.pool(Model(**SMALL))
    assert pool.contents.shape == (6, 32, 32, 3)
    assert pool.styles.shape == (4, 32, 32, 3)
    assert data.pool(Model(**SMALL)).contents is pool.contents
    assert data.pool(Model(**SMALL), side=64).styles.shape == (4, 64, 64, 3)


def test_pictures_by_name_are_whole_and_in_order() -> None:
    s = Model(
        **{**SMALL, "content": "photos:china+chelsea", "style": "styles:waves+mosaic", "contents": 0, "styles": 0}
    )
    pool = data.pool(s)
    assert (len(pool.contents), len(pool.styles)) == (2, 2)
    china, waves = photos.load("china"), styles.load("waves", 32)
    middle = china[:, (china.shape[1] - china.shape[0]) // 2 :][:, : china.shape[0]]
    assert abs(pool.contents[0].mean((0, 1)) - middle.mean((0, 1))).max() < 1
    assert np.array_equal(pool.styles[0], waves)
    assert TASKS[0].data(s) == ["photos", "styles", "vgg16"]


def test_all_pairs_are_trained_on_and_measured_where_all_are_asked_for() -> None:
    pairs = data.pairs(Model(pairing="all"), 3, 2)
    assert pairs.train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert np.array_equal(pairs.train, pairs.validation)
    with pytest.raises(ValueError, match="7 of 6 pairs"):
        data.pairs(Model(pairing="all", validation_pairs=7), 3, 2)


def test_folders_of_contents_and_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETABLE_DATA", str(tmp_path / "data"))
    for kind, count in (("contents", 3), ("styles", 5)):
        (tmp_path / kind).mkdir()
        for i in range(count):
            Image.new("RGB", (40, 50), (40 * i, 0, 99)).save(tmp_path / kind / f"{i}.png")
    s = Model(
        **{**SMALL, "content": f"folder:{tmp_path / 'contents'}", "style": f"folder:{tmp_path / 'styles'}"}
        | {"contents": 0}
    )
    pool = data.pool(s)
    assert (len(pool.contents), len(pool.styles)) == (3, 4)
    assert pool.contents[2, 5, 5].tolist() == [80, 0, 99]
    with pytest.raises(ValueError, match=r"has 3 images, 9 are asked for"):
        data.pool(Model(**{**SMALL, "content": f"folder:{tmp_path / 'contents'}", "contents": 9}))


def test_a_crop_is_a_window_of_its_image() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    crops = data.crop(images, 8, np.random.default_rng(1))
    assert crops.shape == (4, 8, 8, 3)
    for image, crop in zip(images, crops, strict=True):
        windows = [image[y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        assert any(np.array_equal(crop, window) for window in windows)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 36}, "not a multiple of patch 8"),
        ({"width": 20, "heads": 3}, "must be a multiple of heads"),
        ({"content": "photoss"}, "did you mean 'photos'"),
        ({"style": "folder:"}, "unknown data"),
        ({"contents": 0}, "endless crops"),
        ({"styles": 99}, "there are 11, 99 are asked for"),
        ({"content": "photos:chelsea+chine"}, "no picture 'chine' among the photos; did you mean 'china'"),
        ({"style": "styles:mosaic", "styles": 2}, "there are 1, 2 are asked for"),
        ({"separability": "contents"}, "did you mean 'content'"),
        ({"size": 16}, "at least 32 pixels"),
        ({"separabilty": "none"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Training(**{**SMALL, "steps": 1, "separability": "none", **wrong})
