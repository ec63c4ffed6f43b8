"""Stylising one image in one pass: AdaIN, WCT and the photorealistic WCT with its smoothing step.

Sources: Huang and Belongie 2017; Li et al. 2017 (levels one after the other, coarse first); Li et al. 2018, equations
4 to 10. Shape suffixes: C channels, H height, W width. Images are RGB in [0, 1].
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.models.stylizers.decoders import LEVELS, Encoder, pooling_places
from retable.models.stylizers.transforms import adain, wct
from retable.models.transfer.filtering import conjugate_gradients
from retable.models.transfer.matting import Laplacian, laplacian

SMOOTHING = 0.9999
"""alpha of Li et al. 2018, equation 8 (beta in their code): how much the smoothing outweighs the stylised image."""

BORDER = 2
"""Pixels that are in fewer windows of the matting affinity than those inside."""


def adain_stylised(vgg: Encoder, decoders: nn.ModuleDict, content_13HW: Tensor, style_13HW: Tensor) -> Tensor:
    """AdaIN: [1, 3, H, W], not clipped."""
    ((level, decoder),) = decoders.items()
    name = LEVELS[int(level) - 1]
    features = adain(vgg(content_13HW, [name])[name], vgg(style_13HW, [name])[name])
    out: Tensor = decoder(features, *content_13HW.shape[-2:])
    return out


def wct_stylised(
    vgg: Encoder, decoders: nn.ModuleDict, content_13HW: Tensor, style_13HW: Tensor, strength: float = 0.6
) -> Tensor:
    """WCT, or its photorealistic form if the decoders unpool: every level in turn, coarse first; [1, 3, H, W].

    strength: share of the transformed features at each level.
    """
    x_13HW = content_13HW
    levels = sorted((int(level) for level in decoders), reverse=True)
    names = [LEVELS[level - 1] for level in levels]
    style = vgg(style_13HW, names)
    for level, name in zip(levels, names, strict=True):
        decoder = decoders[str(level)]
        features = wct(vgg(x_13HW, [name])[name], style[name], strength)
        places = pooling_places(vgg, x_13HW, level) if decoder.unpooling else []
        x_13HW = decoder(features, *content_13HW.shape[-2:], places)
    return x_13HW


def smoothed(
    stylised_13HW: Tensor,
    content_13HW: Tensor,
    method: Literal["direct", "conjugate_gradients"] = "direct",
) -> Tensor:
    """The smoothing step: R = (1 - a) (I - a S)^-1 Y with S = D^-1/2 W D^-1/2, W the content's matting affinity.

    D_ii is the sum of W's row, its diagonal included: the number of windows that the pixel is in. It is less along
    the border, which would come out dark; so both images are padded by `BORDER` pixels, which are cut off again.
    method: "direct" factorises the sparse matrix, as the authors' code does; "conjugate_gradients" never does.
    """
    padded, right = (F.pad(x, [BORDER] * 4, mode="reflect") for x in (content_13HW, stylised_13HW))
    matrix = laplacian(padded[0])  # D - W
    height, width = padded.shape[-2:]
    ones = torch.ones((1, 1, height - 2, width - 2), device=padded.device)
    root_HW = F.conv_transpose2d(ones, torch.ones((1, 1, 3, 3), device=padded.device))[0, 0].sqrt()

    if method == "conjugate_gradients":
        # I - a S = (1 - a) I + a D^-1/2 L D^-1/2.
        def operator(x: Tensor) -> Tensor:
            return (1 - SMOOTHING) * x + SMOOTHING * matrix(x / root_HW) / root_HW

        found = (1 - SMOOTHING) * conjugate_gradients(operator, right, 1e-5, limit=5000)
    else:
        found = _direct(right, matrix, root_HW)
    return found[..., BORDER:-BORDER, BORDER:-BORDER]


def _direct(stylised_13HW: Tensor, matrix: Laplacian, root_HW: Tensor) -> Tensor:
    from scipy.sparse import diags_array, eye_array
    from scipy.sparse.linalg import splu

    inverse_root = diags_array(1 / root_HW.double().reshape(-1).cpu().numpy())
    normalised = inverse_root @ matrix.csr() @ inverse_root
    system = (1 - SMOOTHING) * eye_array(normalised.shape[0]) + SMOOTHING * normalised
    right = stylised_13HW[0].double().flatten(1).T.cpu().numpy()
    solved = (1 - SMOOTHING) * splu(system.tocsc()).solve(right)
    return torch.from_numpy(solved.T.copy()).reshape(stylised_13HW.shape).to(stylised_13HW)
