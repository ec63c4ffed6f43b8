"""A trained solver on one's own pictures: what `bench apply` calls.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.task import Request, State
from retable.models.stylizers.superresolution import bicubic, luminance
from retable.models.transfer import SIDE, data
from retable.models.transfer.style import Region
from retable.models.unrolled.proximal import (
    Proximal,
    compose,
    gaussian_downsampling,
    low_resolution,
    photorealism,
    temporal,
)
from retable.models.unrolled.solving import Restructurable
from retable.models.unrolled.textures import grey
from retable.models.unrolled.tiling import solved
from retable.models.unrolled.warping import consistent, estimated, warp

TEMPORAL_WEIGHT = 0.37
"""lambda_R of section 5.5, for films."""

CONSISTENCY_WEIGHT = 50.0
"""lambda_R of section 5.6, for enlargements."""

PHOTO_WEIGHT = 50.0
"""lambda_L of section 5.4."""

BLUR = 0.5
"""Deviation of the Gaussian that a small picture is taken to be reduced by, in its own pixels: what cameras and image
programs leave. Section 5.6 blurs twice as much before it reduces; undoing that where it was not done makes halos."""


def apply(model: State, settings: Mapping[str, Any], request: Request, device: str) -> Iterator[np.ndarray]:
    """Stylise each content; see `task.Request`. Frames of a film are held to the one before along their flow.

    Pixels that are in no mask stay as they are. Raises ValueError where the request does not fit: no style, weights
    that do not sum to one, masks that overlap, pictures that are too small.
    """
    if not request.styles:
        raise ValueError("no style: give at least one picture or word, --style mosaic")
    if request.masks and request.weights:
        raise ValueError("masks and weights do not go together: a mask says where its style goes, in full")
    if request.masks and request.upscale > 1:
        raise ValueError("masks and upscale do not go together: do one after the other")
    if small := request.smaller(SIDE):
        raise ValueError(small)
    for picture in request.styles:
        height, width = picture.shape[:2]
        if min(height, width) < SIDE:
            raise ValueError(f"a style is {width}x{height} pixels; both sides must be at least {SIDE}")
    method = Restructurable(model, device)
    if request.upscale > 1:
        return (_enlarged(method, content, request, device) for content in request.contents)
    guide, share_11HW = _guide(method, request, device)
    if request.film:
        return _film(method, guide, share_11HW, request, device)
    return _pictures(method, guide, share_11HW, request, device)


def _guide(method: Restructurable, request: Request, device: str) -> tuple[list[Region], Tensor | None]:
    """The styles and where they go; and the share of each pixel that is to be stylised, None for all of it."""
    styles = [data.tensor(style, device) for style in request.styles]
    if not request.masks:
        return method.guide(styles, list(request.weights) or None), None
    masks = [torch.tensor(np.array(m), device=device).float()[None, None] / 255 for m in request.masks]
    share_11HW = torch.stack(masks).sum(0)
    masks[0] = masks[0] + (1 - share_11HW).clamp_min(0)  # what is kept must have some style while it is computed
    return method.guide(styles, None, masks), share_11HW.clamp_max(1)


def _kept(content_13HW: Tensor, found_13HW: Tensor, share_11HW: Tensor | None) -> Tensor:
    """The result where it is asked for, the content elsewhere."""
    return found_13HW if share_11HW is None else content_13HW + share_11HW * (found_13HW.clamp(0, 1) - content_13HW)


def _pictures(
    method: Restructurable, guide: list[Region], share_11HW: Tensor | None, request: Request, device: str
) -> Iterator[np.ndarray]:
    for picture in request.contents:
        content = data.tensor(picture, device)
        proximal = photorealism(content, PHOTO_WEIGHT) if request.photo else None
        found = solved(method.solver, content, guide, intensity=request.intensity, proximal=proximal)
        yield data.pixels(_kept(content, found, share_11HW))


def _film(
    method: Restructurable, guide: list[Region], share_11HW: Tensor | None, request: Request, device: str
) -> Iterator[np.ndarray]:
    last: tuple[np.ndarray, Tensor] | None = None
    for frame in request.contents:
        content = data.tensor(frame, device)
        operators: list[Proximal] = [photorealism(content, PHOTO_WEIGHT)] if request.photo else []
        if last is not None:
            before, result = last
            back = torch.from_numpy(estimated(before, frame, "ilk"))[None].to(device)
            forth = torch.from_numpy(estimated(frame, before, "ilk"))[None].to(device)
            operators.append(temporal(warp(result, back), consistent(back, forth).float(), TEMPORAL_WEIGHT))
        proximal = compose(*operators) if operators else None
        found = solved(method.solver, content, guide, intensity=request.intensity, proximal=proximal)
        found = _kept(content, found, share_11HW).clamp(0, 1)
        last = (frame, found)
        yield data.pixels(found)


def _enlarged(method: Restructurable, picture: np.ndarray, request: Request, device: str) -> np.ndarray:
    """Luminance by the solver with the styles as guides, its scales as in section 5.6; colours interpolated.

    photo: as smooth as the enlarged picture is, too; agreement with what was given comes last and so weighs most.
    """
    low = data.tensor(picture, device)
    large = bicubic(low, request.upscale)
    height, width = large.shape[-2:]
    sigma = BLUR * request.upscale
    downsampling = gaussian_downsampling(height, width, request.upscale, 2 * math.ceil(3 * sigma) + 1, sigma)
    hold = low_resolution(grey(luminance(low)), downsampling, CONSISTENCY_WEIGHT)
    styles = [grey(luminance(data.tensor(style, device))) for style in request.styles]
    guide = method.guide(styles, list(request.weights) or None)
    start = grey(luminance(large))
    proximal = compose(photorealism(start, PHOTO_WEIGHT), hold) if request.photo else hold
    found = solved(method.solver, start, guide, (1, 1, 1, 1, 0), request.intensity, proximal)
    return data.pixels(large + (found.mean(1, keepdim=True) - luminance(large)))
