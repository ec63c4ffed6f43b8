"""Frames through time: warping along the optical flow, where it holds, and how much a video flickers.

Source: section 4.2.2 of the paper; the validity mask is that of Ruder, Dosovitskiy and Brox, "Artistic Style Transfer
for Videos", 2016, section 4.1. A flow from frame b to frame a, [B, 2, H, W] in pixels (right, down), says of each
pixel of b where in a it came from.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Flow = Literal["exact", "tvl1", "ilk"]


def warp(image_BCHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """w: the image sampled at each pixel plus its flow, bilinearly; beyond the border its edge is repeated.

    The sampling positions are exact: a flow of whole pixels copies pixels.
    """
    b, _, h, w = image_BCHW.shape
    if flow_B2HW.shape[-2:] != (h, w):
        raise ValueError(f"the flow is {flow_B2HW.shape[-1]}x{flow_B2HW.shape[-2]} pixels, the image {w}x{h}")
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    grid = torch.stack([x, y]).to(flow_B2HW) + flow_B2HW
    size = torch.tensor([w, h]).to(grid)[:, None, None]
    places = ((2 * grid + 1) / size - 1).permute(0, 2, 3, 1).expand(b, -1, -1, -1)
    return F.grid_sample(image_BCHW, places.to(image_BCHW), "bilinear", "border", align_corners=False)


def inside(flow_B2HW: Tensor) -> Tensor:
    """Where the flow stays inside the image: bool [B, 1, H, W]."""
    h, w = flow_B2HW.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    px, py = x.to(flow_B2HW) + flow_B2HW[:, 0], y.to(flow_B2HW) + flow_B2HW[:, 1]
    return ((px >= 0) & (px <= w - 1) & (py >= 0) & (py <= h - 1))[:, None]


def consistent(backward_B2HW: Tensor, forward_B2HW: Tensor) -> Tensor:
    """M: where the warping along `backward` can be trusted, bool [B, 1, H, W].

    Pixels that come from outside are left out; so are those whose way back and forth does not close
    (|w~ + w|^2 > 0.01 (|w~|^2 + |w|^2) + 0.5, disoccluded) and those at a motion boundary
    (|grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002).
    """
    there = warp(forward_B2HW, backward_B2HW)
    back = backward_B2HW.square().sum(1, keepdim=True)
    closes = (there + backward_B2HW).square().sum(1, keepdim=True) <= 0.01 * (
        there.square().sum(1, keepdim=True) + back
    ) + 0.5
    down, across = torch.gradient(backward_B2HW, dim=(2, 3))
    smooth = (down.square() + across.square()).sum(1, keepdim=True) <= 0.01 * back + 0.002
    return inside(backward_B2HW) & closes & smooth


def estimated(before_HWC: np.ndarray, after_HWC: np.ndarray, method: Literal["tvl1", "ilk"]) -> np.ndarray:
    """Flow from `after` to `before` by scikit-image, float32 [2, H, W]; both images uint8 [H, W, 3]."""
    from skimage.color import rgb2gray
    from skimage.registration import optical_flow_ilk, optical_flow_tvl1

    estimate = optical_flow_tvl1 if method == "tvl1" else optical_flow_ilk
    rows, columns = estimate(rgb2gray(after_HWC), rgb2gray(before_HWC))
    return np.stack([columns, rows]).astype(np.float32)


def temporal_error(frames_T3HW: Tensor, flows_T2HW: Tensor, valid_T1HW: Tensor) -> Tensor:
    """E_warp of each pair of frames: root mean square of frame i + 1 minus frame i warped to it, where valid; [T - 1].

    flows, valid: of the T - 1 steps. In units of the frames.
    """
    square = (frames_T3HW[1:] - warp(frames_T3HW[:-1], flows_T2HW)).square() * valid_T1HW
    count = (valid_T1HW.sum((1, 2, 3)) * frames_T3HW.shape[1]).clamp_min(1)
    return (square.sum((1, 2, 3)) / count).sqrt()


def flicker(frames_T3HW: Tensor, flows_T2HW: Tensor, valid_T1HW: Tensor) -> tuple[Tensor, Tensor]:
    """What alternates: root mean square of frame i + 1 minus the mean of its neighbours, all in its place.

    Over the whole film, a scalar, and of every frame that has two neighbours, [T - 2].

    Only the part of a pixel's change that goes back in the next frame counts, so a lasting change (new light, a
    fade) is no flicker. Needs three frames. The neighbour after is brought back along the flow by comparing the two
    successive differences in the middle frame's place.
    """
    if len(frames_T3HW) < 3:
        raise ValueError(f"flicker needs at least 3 frames, not {len(frames_T3HW)}")
    change = (frames_T3HW[1:] - warp(frames_T3HW[:-1], flows_T2HW)) * valid_T1HW  # in the later frame's place
    carried = warp(change[:-1], flows_T2HW[1:])
    known = valid_T1HW[1:] * (warp(valid_T1HW[:-1].float(), flows_T2HW[1:]) > 0.99)
    back = torch.where(carried * change[1:] < 0, torch.minimum(carried.abs(), change[1:].abs()), 0.0) * known
    square_F, count_F = back.square().sum((1, 2, 3)), known.sum((1, 2, 3)) * frames_T3HW.shape[1]
    return (square_F.sum() / count_F.sum().clamp_min(1)).sqrt(), (square_F / count_F.clamp_min(1)).sqrt()
