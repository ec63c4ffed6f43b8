"""A trained transformation network on one's own pictures: what `bench apply` calls.

Shape suffixes: B batch, H height, W width. Images are [0, 255].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retable.bench.task import Request, State
from retable.models.fast_style import FastStyle, data
from retable.models.fast_style.network import TransformNet
from retable.models.fast_style.task import initial_network

MULTIPLE = 4
"""The network halves the size twice; pictures are padded by reflection to such sides inside."""

SMALLEST = 17
"""Pixels a side: a quarter of them must be more than the borders that the convolutions reflect."""


def apply(model: State, settings: Mapping[str, Any], request: Request, device: str) -> Iterator[np.ndarray]:
    """Stylise each content by itself; see `retable.bench.task.Request`.

    Raises ValueError for what a network of one fixed style cannot do, and for pictures that are too small.
    """
    s = FastStyle.model_validate(settings)
    if request.styles:
        raise ValueError(f"this network knows one style, '{s.style}', that it was trained on: leave --style out")
    asked = {"photo": request.photo, "upscale": request.upscale > 1, "intensity": request.intensity != 1}
    if wrong := [name for name, on in asked.items() if on]:
        raise ValueError(f"a network of one fixed style cannot do {' or '.join(wrong)}")
    if small := request.smaller(SMALLEST):
        raise ValueError(small)
    net = initial_network(s, seed=0)
    net.load_state_dict(model["network"])
    net.to(device).eval()
    return (_stylised(net, content, device) for content in request.contents)


def _stylised(net: TransformNet, content_HWC: np.ndarray, device: str) -> np.ndarray:
    height, width = content_HWC.shape[:2]
    x_13HW = F.pad(
        data.as_tensor(content_HWC[None], device), (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="reflect"
    )
    with torch.no_grad():
        y_13HW: Tensor = net(x_13HW)[:, :, :height, :width]
    pixels: np.ndarray = y_13HW[0].permute(1, 2, 0).nan_to_num(0.0).clamp(0, 255).round().byte().cpu().numpy()
    return pixels
