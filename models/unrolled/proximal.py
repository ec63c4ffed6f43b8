"""Regularisers as proximal operators: P(Y) minimises |X - Y|^2 / 2 + R(X) (equation 15).

Applied after every learned update they add R to what a trained solver minimises (section 4.2), with no retraining.
Each function here makes one operator; `compose` applies several. Any other callable from images to images serves.

Shape suffixes: B batch, C channels, H height, W width, h, w the low resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from retable.models.transfer import matting
from retable.models.transfer.filtering import chebyshev_order, conjugate_gradients, graph_filter
from retable.models.transfer.matting import Laplacian, laplacian

Proximal = Callable[[Tensor], Tensor]
Method = Literal["graph_filter", "conjugate_gradients"]


def photorealism(
    content: Tensor | Laplacian,
    weight: float = 50.0,
    method: Method = "graph_filter",
    tolerance: float = 1e-3,
) -> Proximal:
    """Keep the image a locally affine transformation of the content: R(X) = weight Tr(X^T L X), section 4.2.1.

    content: [1, 3, H, W] or [3, H, W] in [0, 1], or its matting Laplacian. method: a polynomial of the Laplacian
    whose error is at most `tolerance` of the image's norm (the paper's; its order follows from the weight), or
    conjugate gradients with that relative residual. P(Y) = (I + 2 weight L)^-1 Y without an inverse.
    """
    if not isinstance(content, Laplacian):
        if content.dim() == 4 and len(content) != 1:
            raise ValueError("the photorealism of a batch: make one operator for each content image")
        content = laplacian(content.reshape(3, *content.shape[-2:]))
    matrix, factor, bound = content, 2 * weight, matting.LARGEST_EIGENVALUE
    if weight == 0:
        return lambda y_B3HW: y_B3HW
    if method == "graph_filter":
        order = chebyshev_order(factor, bound, tolerance)
        return lambda y_B3HW: graph_filter(matrix, y_B3HW, factor, bound, order)
    return lambda y_B3HW: conjugate_gradients(lambda x: x + factor * matrix(x), y_B3HW, tolerance)


def temporal(warped_B3HW: Tensor, valid_B1HW: Tensor, weight: float = 0.37) -> Proximal:
    """Stay close to the last stylised frame, warped to this one: R(X) = weight |M (w - X)|^2, section 4.2.2.

    warped: w, the last result in this frame's place. valid: M, [B, 1, H, W] in [0, 1], 0 where nothing is known
    (disoccluded, outside, at a motion boundary). Closed form.
    """
    pull = 2 * weight * valid_B1HW.square()
    return lambda y_B3HW: (y_B3HW + pull * warped_B3HW) / (1 + pull)


@dataclass(frozen=True)
class Downsampling:
    """D of section 4.2.3, a separable linear map of images: D X = rows X columns^T.

    rows_hH, columns_wW: float64 matrices whose rows sum to one.
    """

    rows_hH: Tensor
    columns_wW: Tensor

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, h, w], in the input's type."""
        return self.rows_hH.to(x_BCHW) @ x_BCHW @ self.columns_wW.to(x_BCHW).T

    def adjoint(self, y_BChw: Tensor) -> Tensor:
        """D^T: [B, C, h, w] -> [B, C, H, W]."""
        return self.rows_hH.to(y_BChw).T @ y_BChw @ self.columns_wW.to(y_BChw)


def gaussian_downsampling(height: int, width: int, stride: int = 3, size: int = 17, sigma: float = 3.0) -> Downsampling:
    """A Gaussian filter of `size` x `size` pixels, then every `stride`-th pixel (section 5.6); borders reflect.

    Raises ValueError where a side is no multiple of the stride, or not longer than half the filter.
    """
    for side in (height, width):
        if side % stride or side <= size // 2:
            raise ValueError(
                f"{width}x{height} pixels cannot be reduced: sides must be multiples of {stride} "
                f"and longer than {size // 2}"
            )
    return Downsampling(_reduction(height, stride, size, sigma), _reduction(width, stride, size, sigma))


def low_resolution(low_BChw: Tensor, downsampling: Downsampling, weight: float = 50.0) -> Proximal:
    """Agree with a low-resolution image: R(X) = weight |low - D X|^2, section 4.2.3.

    Exact and in closed form, since D is separable: with the eigenvectors of D's two halves the system is diagonal.
    """
    rows_values, rows_vectors = torch.linalg.eigh(downsampling.rows_hH.T @ downsampling.rows_hH)
    columns_values, columns_vectors = torch.linalg.eigh(downsampling.columns_wW.T @ downsampling.columns_wW)
    divisor_HW = 1 + 2 * weight * rows_values.clamp_min(0)[:, None] * columns_values.clamp_min(0)
    pull_BCHW = 2 * weight * downsampling.adjoint(low_BChw.double())

    def operator(y_BCHW: Tensor) -> Tensor:
        right_BCHW = y_BCHW.double() + pull_BCHW
        inside = (rows_vectors.T @ right_BCHW @ columns_vectors) / divisor_HW
        out: Tensor = (rows_vectors @ inside @ columns_vectors.T).to(y_BCHW.dtype)
        return out

    return operator


def compose(*operators: Proximal) -> Proximal:
    """One operator after the other, in the order given, as section 5.5 does for photorealistic videos.

    Not the proximal operator of the sum in general, but each regulariser still pulls; the last one most.
    """

    def operator(y_B3HW: Tensor) -> Tensor:
        for each in operators:
            y_B3HW = each(y_B3HW)
        return y_B3HW

    return operator


def _reduction(length: int, stride: int, size: int, sigma: float) -> Tensor:
    """One side of the downsampling, float64 [length / stride, length]."""
    matrix = torch.zeros((length // stride, length), dtype=torch.float64)
    for row in range(length // stride):
        # The middle of the pixels that one stands for; between two of them where the stride is even.
        centre = row * stride + (stride - 1) / 2
        places = torch.arange(math.ceil(centre - size / 2), math.floor(centre + size / 2) + 1)
        taps = torch.exp(-0.5 * ((places.double() - centre) / sigma) ** 2)
        places = places.abs()
        places = torch.where(places < length, places, 2 * (length - 1) - places)
        matrix[row].index_add_(0, places, taps / taps.sum())
    return matrix
