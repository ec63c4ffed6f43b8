"""The matting Laplacian of an image: how far a transformation is from being locally affine in its colours.

Source: Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting", PAMI 2008, equation 12, with
windows of 3x3 pixels. It couples pixels at most two apart, so it is kept as a stencil: one plane of weights for
the diagonal and one for each of the 12 offsets in half of the 5x5 neighbourhood.

Shape suffixes: C channels, H height, W width, V = H - 2 by W - 2 windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

OFFSETS = tuple((dy, dx) for dy in range(3) for dx in range(-2, 3) if (dy, dx) > (0, 0))
"""(down, right) of the neighbours that come later in reading order."""

LARGEST_EIGENVALUE = 9.0
"""An upper bound for every image: each window's matrix is between 0 and the identity on its nine pixels, and a
pixel lies in nine windows at most."""

STRIP = 8192
"""Windows that are worked on together: as many as the processor's cache holds with all that is made of them."""

_PLACES = tuple((y, x) for y in range(3) for x in range(3))


@dataclass(frozen=True)
class Laplacian:
    """A symmetric positive semi-definite matrix over the pixels of one image, without forming it.

    diagonal_HW: its diagonal. planes: offset -> weights between each pixel and the one at that offset, [H, W];
    zero where that one is outside. Constants are in its kernel.
    """

    diagonal_HW: Tensor
    planes: dict[tuple[int, int], Tensor]

    def __call__(self, x_CHW: Tensor) -> Tensor:
        """L x for every channel, [..., H, W]; linear in the number of pixels."""
        out = self.diagonal_HW * x_CHW
        height, width = self.diagonal_HW.shape
        for (dy, dx), plane_HW in self.planes.items():
            here, there = _pair(dy, dx, height, width)
            weights = plane_HW[here]
            out[(..., *here)].addcmul_(weights, x_CHW[(..., *there)])
            out[(..., *there)].addcmul_(weights, x_CHW[(..., *here)])
        return out

    def energy(self, x_CHW: Tensor) -> Tensor:
        """Tr(X^T L X), the regulariser of section 4.2.1 without its weight; a scalar."""
        return (x_CHW * self(x_CHW)).sum()

    def csr(self) -> csr_matrix:
        """The matrix itself, float64 [H W, H W] in row-major pixel order; for direct solves."""
        from scipy.sparse import diags_array

        height, width = self.diagonal_HW.shape
        planes = {o: p.double().reshape(-1).cpu().numpy() for o, p in self.planes.items()}
        upper = {dy * width + dx: p[: height * width - (dy * width + dx)] for (dy, dx), p in planes.items()}
        half = diags_array(list(upper.values()), offsets=list(upper), shape=(height * width,) * 2)
        middle = diags_array(self.diagonal_HW.double().reshape(-1).cpu().numpy())
        return (half + half.T + middle).tocsr()


def laplacian(image_3HW: Tensor, epsilon: float = 1e-7, dtype: torch.dtype = torch.float32) -> Laplacian:
    """The matting Laplacian of an image in [0, 1], [3, H, W], both sides at least 3 pixels.

    epsilon: regularises the colour covariance of a window (the larger, the smoother the result; 1e-7 is what
    photorealistic stylisation uses). Covariances are computed in float64, the rest as `dtype`. Raises ValueError.
    """
    height, width = image_3HW.shape[-2:]
    if min(height, width) < 3:
        raise ValueError(f"the image is {width}x{height} pixels; its matting Laplacian needs 3x3 at least")
    image = image_3HW.double()
    diagonal = torch.zeros((height, width), dtype=dtype, device=image.device)
    planes = {offset: torch.zeros_like(diagonal) for offset in OFFSETS}
    rows = max(1, STRIP // width)
    for top in range(0, height - 2, rows):
        _add_windows(diagonal, planes, image, top, min(top + rows, height - 2), epsilon)
    return Laplacian(diagonal, planes)


def _add_windows(
    diagonal_HW: Tensor,
    planes: dict[tuple[int, int], Tensor],
    image_3HW: Tensor,
    top: int,
    bottom: int,
    epsilon: float,
) -> None:
    """Add the share of the windows whose upper rows are `top` to `bottom` (left out)."""
    width = image_3HW.shape[-1]
    windows = [image_3HW[:, y + top : y + bottom, x : x + width - 2] for y, x in _PLACES]
    mean_3V = torch.stack(windows).mean(0)
    # Of order one whatever the covariance: from here on the result's precision does.
    whitened = [[c.to(diagonal_HW.dtype) for c in w] for w in _whiten([w - mean_3V for w in windows], epsilon)]
    v = torch.empty_like(whitened[0][0])
    for i, (iy, ix) in enumerate(_PLACES):
        at = (slice(iy + top, iy + bottom), slice(ix, ix + width - 2))
        for j in range(i, len(_PLACES)):
            a, b = whitened[i], whitened[j]
            torch.mul(a[0], b[0], out=v)
            v.addcmul_(a[1], b[1]).addcmul_(a[2], b[2]).add_(1)  # 1 + (I_i - mu)^T inverse(...) (I_j - mu)
            if i == j:
                diagonal_HW[at].sub_(v, alpha=1 / 9).add_(1)
            else:
                y, x = _PLACES[j]
                planes[y - iy, x - ix][at].sub_(v, alpha=1 / 9)


def _whiten(centred: list[Tensor], epsilon: float) -> list[list[Tensor]]:
    """Each place's colours, made so that dot products are (I_i - mu)^T (Sigma + epsilon / 9)^-1 (I_j - mu).

    centred: nine [3, V]. By the Cholesky factor of each window's 3x3 covariance, written out.
    """

    def covariance(c: int, d: int) -> Tensor:
        total = centred[0][c] * centred[0][d]
        for place in centred[1:]:
            total.addcmul_(place[c], place[d])
        return total.div_(9)

    shift = epsilon / 9
    l00 = covariance(0, 0).add_(shift).sqrt_()
    l10, l20 = covariance(1, 0) / l00, covariance(2, 0) / l00
    l11 = covariance(1, 1).add_(shift).addcmul_(l10, l10, value=-1).sqrt_()
    l21 = covariance(2, 1).addcmul_(l20, l10, value=-1) / l11
    l22 = covariance(2, 2).add_(shift).addcmul_(l20, l20, value=-1).addcmul_(l21, l21, value=-1).sqrt_()
    i00, i11, i22 = 1 / l00, 1 / l11, 1 / l22
    out = []
    for place in centred:
        a = place[0] * i00
        b = (place[1] - l10 * a).mul_(i11)
        c = (place[2] - l20 * a).addcmul_(l21, b, value=-1).mul_(i22)
        out.append([a, b, c])
    return out


def _pair(dy: int, dx: int, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that have a neighbour at an offset, and those neighbours."""
    rows, rows_there = slice(0, height - dy), slice(dy, height)
    if dx >= 0:
        return (rows, slice(0, width - dx)), (rows_there, slice(dx, width))
    return (rows, slice(-dx, width)), (rows_there, slice(0, width + dx))
