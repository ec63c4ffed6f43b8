"""The embedded films: reproducible, with a flow that is exact and a mask that is honest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.bench import data
from retable.bench.data import video


@pytest.mark.parametrize("scene", video.SCENES)
def test_a_clip_has_what_its_docstring_says(scene: str) -> None:
    clip = video.load(scene, 5, 48, 64)
    assert (clip.frames.shape, clip.frames.dtype) == ((5, 48, 64, 3), np.uint8)
    assert (clip.flows.shape, clip.flows.dtype) == ((4, 2, 48, 64), np.float32)
    assert (clip.valid.shape, clip.valid.dtype) == ((4, 1, 48, 64), np.bool_)
    assert 0.7 < clip.valid.mean() < 1
    assert all(clip.frames[i].std() > 30 for i in range(5))


def test_the_same_call_gives_the_same_clip() -> None:
    a, b = video.load("passing", 3, 48, 64), video.load("passing", 3, 48, 64)
    assert np.array_equal(a.frames, b.frames)
    assert np.array_equal(a.flows, b.flows)


@given(height=st.integers(40, 120), width=st.integers(40, 160))
@settings(max_examples=8, deadline=None)
def test_the_flow_is_exact_wherever_it_is_called_valid(height: int, width: int) -> None:
    """Nearest pixels of the frame before differ from what is seen by no more than neighbours do."""
    clip = video.load("passing", 3, height, width)
    y, x = np.mgrid[:height, :width]
    before, after = clip.frames[0].astype(float), clip.frames[1].astype(float)
    px, py = x + clip.flows[0][0], y + clip.flows[0][1]
    left, top = np.clip(np.floor(px).astype(int), 0, width - 2), np.clip(np.floor(py).astype(int), 0, height - 2)
    corners = np.stack([before[top + dy, left + dx] for dy in (0, 1) for dx in (0, 1)])
    low, high = corners.min(0) - 16, corners.max(0) + 16
    within = ((after >= low) & (after <= high)).all(-1)
    assert within[clip.valid[0, 0]].mean() > 0.97


def test_disoccluded_pixels_are_not_valid() -> None:
    clip = video.load("passing", 2, 96, 128)
    # The disc moves right: what comes out behind it on the left was hidden before.
    wrong = ~clip.valid[0, 0]
    assert 0.01 < wrong.mean() < 0.3


def test_mistakes_are_named() -> None:
    with pytest.raises(LookupError, match="did you mean 'passing'"):
        video.load("pasing", 4, 48, 64)
    with pytest.raises(ValueError, match="not 1 of 64x48"):
        video.load("passing", 1, 48, 64)


def test_is_an_embedded_source() -> None:
    assert data.find("video").embedded
    assert data.missing("video") is None
    assert len(data.version("video")) == 12
