"""The unrolled solver: N learned updates that mimic gradient descent on the style loss (section 3.2, figure 2).

Source: Puy and Perez, "A Flexible Convolutional Solver for Fast Style Transfers", CVPR 2019. Every word of the
gradient has its learned counterpart: forward maps f (step i), style filters G^T S H (step ii), backward maps b
(step iii), the weighted sum over the scales (step iv).

Shape suffixes: B batch, C channels, H height, W width, S the five style scales. Images are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.models.transfer.style import CHANNELS, SCALES, Region, at_scale, gram

Nonlinearity = Literal["heaviside", "relu"]
Backward = Literal["separate", "shared"]
Derivative = Literal["style", "difference"]
Proximal = Callable[[Tensor], Tensor]
"""Maps an image [B, 3, H, W] to the proximal operator's value there (equation 15)."""

ALL_SCALES = (1.0,) * len(SCALES)

MULTIPLE = 2 ** (len(SCALES) - 1)
"""Sides are padded by reflection to a multiple of this inside; the result has the content's size."""


class Update(nn.Module):
    """One learned update g_t (equation 10).

    width: L, channels of the first scale; the others have 2 L, 4 L, 8 L and 8 L.
    nonlinearity: of the backward maps. "heaviside" multiplies by the derivative of the forward map's ReLU
        (equation 9), "relu" is the usual decoder that section 5.2 compares it with.
    backward: "separate" backward maps per scale, as figure 2 draws them, or one "shared" chain that the scales
        join on their way up, as true backpropagation has it, at a third of the cost.
    derivative: what stands for the partial derivative of step ii: features times the "style" filter (equation 7), or
        times the "difference" of their own Gram matrix and that filter (equation 6), which the paper gave up.
    """

    def __init__(
        self,
        width: int,
        nonlinearity: Nonlinearity = "heaviside",
        backward: Backward = "separate",
        derivative: Derivative = "style",
    ) -> None:
        super().__init__()
        self.nonlinearity, self.derivative = nonlinearity, derivative
        self.widths = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        inputs = (3, *self.widths[:-1])
        self.down = nn.ModuleList(conv(i, o) for i, o in zip(inputs, self.widths, strict=True))
        self.g = nn.ParameterList(nn.Parameter(torch.empty(c, w)) for c, w in zip(CHANNELS, self.widths, strict=True))
        self.h = nn.ParameterList(nn.Parameter(torch.empty(c, w)) for c, w in zip(CHANNELS, self.widths, strict=True))
        chains = [[conv(self.widths[k], inputs[k]) for k in range(s + 1)] for s in range(len(SCALES))]
        if backward == "shared":
            chains = [chains[-1]]
        self.up = nn.ModuleList(nn.ModuleList(chain) for chain in chains)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x_B3HW: Tensor, regions: Sequence[Region], weights_BS: Tensor) -> Tensor:
        """The update of an image with sides that are multiples of `MULTIPLE`, [B, 3, H, W].

        regions: styles and where they go. weights: beta of each image and scale times the global intensity,
        [B, 5] or [1, 5]; a scale with weight 0 in the whole batch is not computed.
        """
        deepest = _deepest(weights_BS)
        before: list[Tensor] = []  # the A of figure 2: each scale's convolution, before its ReLU
        filtered: list[Tensor] = []
        h_BCHW = x_B3HW
        for s in range(deepest + 1):
            before.append(self.down[s](h_BCHW if s == 0 else F.avg_pool2d(h_BCHW, 2)))
            h_BCHW = F.relu(before[s])
            filtered.append(self._filtered(s, h_BCHW, regions))

        if len(self.up) == 1:
            return self._shared(before, filtered, weights_BS)
        update = torch.zeros_like(x_B3HW, dtype=torch.float32)
        for s in range(deepest + 1):
            b_BCHW = filtered[s]
            for k in range(s, -1, -1):
                b_BCHW = self._up(s, k, b_BCHW, before[k])
            update = update + weights_BS[:, s, None, None, None] * b_BCHW.float()
        return update

    def _shared(self, before: list[Tensor], filtered: list[Tensor], weights_BS: Tensor) -> Tensor:
        b_BCHW = torch.zeros_like(before[-1])
        for k in range(len(before) - 1, -1, -1):
            b_BCHW = b_BCHW + (weights_BS[:, k, None, None, None] * filtered[k]).to(b_BCHW.dtype)
            b_BCHW = self._up(0, k, b_BCHW, before[k])
        return b_BCHW.float()

    def _up(self, chain: int, k: int, b_BCHW: Tensor, before_BCHW: Tensor) -> Tensor:
        """One step of a backward map: nonlinearity, convolution, twice the size unless it is the image's."""
        # dh = 0: the gradient flows through b alone.
        heaviside = self.nonlinearity == "heaviside"
        b_BCHW = b_BCHW * (before_BCHW.detach() > 0) if heaviside else F.relu(b_BCHW)
        out: Tensor = self.up[chain][k](b_BCHW)  # type: ignore[index]
        return out if k == 0 else F.interpolate(out, scale_factor=2.0, mode="nearest")

    def _filtered(self, s: int, f_BCHW: Tensor, regions: Sequence[Region]) -> Tensor:
        """Equation 7 (masked: the end of section 4.1): f times its style filter, [B, C, H, W]; or equation 6."""
        b, _, h, w = f_BCHW.shape
        f_BCL = f_BCHW.flatten(2)
        own_BCC = gram(f_BCHW) if self.derivative == "difference" else None
        out: Tensor | None = None
        for region in regions:
            # In float32, small as it is: the style matrices span orders of magnitude.
            with torch.autocast(f_BCHW.device.type, enabled=False):
                k_BCC = (self.g[s].T @ region.matrices[SCALES[s]] @ self.h[s]).transpose(1, 2)
                k_BCC = k_BCC if own_BCC is None else own_BCC - k_BCC
            part = torch.bmm(k_BCC.to(f_BCL.dtype).expand(b, -1, -1), f_BCL).reshape(b, -1, h, w)
            if region.mask_B1HW is not None:
                part = part * at_scale(region.mask_B1HW, h, w).to(part.dtype)
            out = part if out is None else out + part
        if out is None:
            raise ValueError("no style: give at least one region")
        return out


class Solver(nn.Module):
    """N learned updates with untied weights, X(t+1) = P[X(t) - g_t(X(t), X_s)] (equations 4 and 16).

    iterations: N. The others: see `Update`.
    """

    def __init__(
        self,
        iterations: int,
        width: int,
        nonlinearity: Nonlinearity = "heaviside",
        backward: Backward = "separate",
        derivative: Derivative = "style",
    ) -> None:
        super().__init__()
        self.updates = nn.ModuleList(Update(width, nonlinearity, backward, derivative) for _ in range(iterations))

    def forward(
        self,
        content_B3HW: Tensor,
        regions: Sequence[Region],
        weights: Sequence[float] | Tensor = ALL_SCALES,
        *,
        intensity: float = 1.0,
        proximal: Proximal | None = None,
    ) -> list[Tensor]:
        """Solve, starting from the content; returns [X(1), ..., X(N)], float32 [B, 3, H, W], not clipped.

        weights: beta of each scale, five numbers or [B, 5]; 0 leaves a scale out (section 4.1).
        intensity: multiplies all of them; 0 returns the content.
        proximal: applied after every update (section 4.2); see `retable.models.unrolled.proximal`.
        Raises ValueError for an image that is too small (see `padded`) or a mask of another size.
        """
        weights_BS = torch.as_tensor(weights, dtype=torch.float32, device=content_B3HW.device)
        weights_BS = intensity * weights_BS.reshape(-1, len(SCALES))
        for region in regions:
            if region.mask_B1HW is not None and region.mask_B1HW.shape[-2:] != content_B3HW.shape[-2:]:
                (h, w), (ch, cw) = region.mask_B1HW.shape[-2:], content_B3HW.shape[-2:]
                raise ValueError(f"a mask is {w}x{h} pixels, the content {cw}x{ch}: make them equal")
        h, w = content_B3HW.shape[-2:]
        inside = [
            r if r.mask_B1HW is None else Region(r.matrices, padded(r.mask_B1HW, mode="replicate")) for r in regions
        ]
        x_B3HW, found = content_B3HW.float(), []
        for update in self.updates:
            g_B3HW: Tensor = update(padded(x_B3HW), inside, weights_BS)[:, :, :h, :w]
            x_B3HW = x_B3HW - g_B3HW
            if proximal is not None:
                x_B3HW = proximal(x_B3HW)
            found.append(x_B3HW)
        return found


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 with reflection padding, as all convolutions of the network."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


def padded(x_BCHW: Tensor, mode: Literal["reflect", "replicate"] = "reflect") -> Tensor:
    """The image with its sides brought up to multiples of `MULTIPLE`, on the right and below.

    Raises ValueError for a side of less than two such multiples: the coarsest scale would have one pixel,
    which cannot be reflected.
    """
    h, w = x_BCHW.shape[-2:]
    if min(h, w) <= MULTIPLE:
        raise ValueError(f"the image is {w}x{h} pixels; both sides must be at least {MULTIPLE + 1}: enlarge it first")
    right, below = -w % MULTIPLE, -h % MULTIPLE
    return F.pad(x_BCHW, (0, right, 0, below), mode=mode) if right or below else x_BCHW


def _deepest(weights_BS: Tensor) -> int:
    """Index of the coarsest scale with a weight other than 0; 0 if there is none."""
    used = (weights_BS.detach() != 0).any(0).nonzero()
    return int(used[-1]) if len(used) else 0
