"""Warping, where it can be trusted, and what flickers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.bench.data import video
from retable.models.unrolled.warping import consistent, estimated, flicker, inside, temporal_error, warp


def uniform(dx: float, dy: float, height: int = 12, width: int = 15) -> torch.Tensor:
    return torch.stack([torch.full((height, width), float(dx)), torch.full((height, width), float(dy))])[None]


@given(dx=st.integers(-4, 4), dy=st.integers(-4, 4))
@settings(max_examples=25, deadline=None)
def test_whole_pixels_are_copied(dx: int, dy: int) -> None:
    image = torch.rand(1, 3, 12, 15)
    moved = warp(image, uniform(dx, dy))
    shifted = torch.roll(image, (-dy, -dx), (2, 3))
    known = inside(uniform(dx, dy)).expand_as(image)
    torch.testing.assert_close(moved[known], shifted[known], rtol=0, atol=1e-5)
    assert int(known[0, 0].sum()) == (12 - abs(dy)) * (15 - abs(dx))


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = torch.rand(1, 1, 12, 15)
    moved = warp(image, uniform(0.5, 0))
    torch.testing.assert_close(moved[..., :-1], (image[..., :-1] + image[..., 1:]) / 2, rtol=0, atol=1e-5)


def test_a_flow_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="15x12 pixels, the image 15x13"):
        warp(torch.rand(1, 3, 13, 15), uniform(0, 0))


def test_the_embedded_films_flow_carries_each_frame_to_the_next() -> None:
    clip = video.load("passing", 4, 96, 128)
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
    flows, valid = torch.from_numpy(clip.flows), torch.from_numpy(clip.valid)
    carried = float(temporal_error(frames, flows, valid).mean())
    still = float(temporal_error(frames, torch.zeros_like(flows), valid).mean())
    everywhere = float(temporal_error(frames, flows, torch.ones_like(valid)).mean())
    assert carried < 0.02 < 3 * carried < still
    assert carried < everywhere  # what is disoccluded cannot be carried


def test_constant_flows_that_undo_each_other_are_consistent() -> None:
    trusted = consistent(uniform(2, 1), uniform(-2, -1))
    assert bool(trusted[..., :-2, :-3].all())
    assert not bool(trusted[..., -1].any())  # comes from outside
    assert not bool(consistent(uniform(2, 1), uniform(2, 1)).any())


def test_a_motion_boundary_is_left_out() -> None:
    back = uniform(0.0, 0.0)
    back[:, 0, :, 8:] = 3.0
    trusted = consistent(back, -back)
    assert not bool(trusted[..., 7:9].any())
    assert bool(trusted[..., :6].all())


def test_estimates_find_a_shift() -> None:
    picture = video.load("passing", 2, 96, 128).frames[0]
    later = np.roll(picture, (0, 2), (0, 1))
    flow = estimated(picture, later, "ilk")
    assert flow.shape == (2, 96, 128)
    assert np.median(flow[0]) == pytest.approx(-2, abs=0.3)
    assert np.median(flow[1]) == pytest.approx(0, abs=0.3)


def test_flicker_sees_what_alternates_and_not_what_changes_for_good() -> None:
    base = torch.full((6, 3, 12, 15), 0.5)
    flows, valid = torch.zeros(5, 2, 12, 15), torch.ones(5, 1, 12, 15, dtype=torch.bool)
    fading = base + 0.05 * torch.arange(6.0)[:, None, None, None]
    blinking = base + 0.05 * (torch.arange(6.0) % 2)[:, None, None, None]
    assert float(flicker(fading, flows, valid)[0]) == pytest.approx(0, abs=1e-6)
    whole, each = flicker(blinking, flows, valid)
    assert float(whole) == pytest.approx(0.05, rel=1e-3)
    assert len(each) == len(blinking) - 2 and float(each.square().mean().sqrt()) == pytest.approx(0.05, rel=1e-3)
    assert float(temporal_error(fading, flows, valid).mean()) == pytest.approx(0.05, rel=1e-3)
    with pytest.raises(ValueError, match="at least 3 frames, not 2"):
        flicker(base[:2], flows[:1], valid[:1])
