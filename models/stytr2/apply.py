"""A trained generator on one's own pictures: what `bench apply` calls.

Shape suffixes: B batch, H height, W width. Images are [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retable.bench.task import Request, State
from retable.models.stytr2 import Training
from retable.models.stytr2.network import ContentCode, Generator, initial


def apply(model: State, settings: Mapping[str, Any], request: Request, device: str) -> Iterator[np.ndarray]:
    """Give each content the style of the one style picture, which is brought to the size that was trained at.

    See `task.Request`. Raises ValueError for what the generator cannot do, and for pictures smaller than two
    patches.
    """
    s = Training.model_validate(settings)
    if len(request.styles) != 1:
        raise ValueError(
            f"give one style, --style mosaic: this generator takes one at a time, not {len(request.styles)}"
        )
    asked = {
        "masks": bool(request.masks),
        "photo": request.photo,
        "upscale": request.upscale > 1,
        "intensity": request.intensity != 1,
    }
    if wrong := [name for name, on in asked.items() if on]:
        raise ValueError(f"this generator cannot do {' or '.join(wrong)}")
    if small := request.smaller(2 * s.patch):
        raise ValueError(small)
    net = initial(s, seed=0)
    net.load_state_dict(model["network"])
    net.to(device).eval()
    with torch.no_grad():
        memory_1ND = net.encode_style(_style(request.styles[0], s.size, device))
    return (_stylised(net, s.patch, content, memory_1ND, device) for content in request.contents)


def _style(style_HWC: np.ndarray, size: int, device: str) -> Tensor:
    """The square in the middle at `size` pixels a side: the strokes' size that the generator has learned."""
    from PIL import Image, ImageOps

    square = ImageOps.fit(Image.fromarray(style_HWC), (size, size), Image.Resampling.BILINEAR)
    return _tensor(np.asarray(square), device)


def _stylised(net: Generator, patch: int, content_HWC: np.ndarray, memory_1ND: Tensor, device: str) -> np.ndarray:
    height, width = content_HWC.shape[:2]
    x_13HW = F.pad(_tensor(content_HWC, device), (0, -width % patch, 0, -height % patch), mode="reflect")
    with torch.no_grad():
        code: ContentCode = net.encode_content(x_13HW)
        y_13HW = net.decode(code, memory_1ND)[:, :, :height, :width]
    pixels: np.ndarray = (y_13HW[0].permute(1, 2, 0).nan_to_num(0.0).clamp(0, 1) * 255).round().byte().cpu().numpy()
    return pixels


def _tensor(image_HWC: np.ndarray, device: str) -> Tensor:
    return torch.tensor(np.array(image_HWC, copy=True), device=device).permute(2, 0, 1)[None].float() / 255
