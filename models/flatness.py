"""Whether the pictures that a network makes are pictures at all: what counts as collapsed, for every family."""

from __future__ import annotations

from torch import Tensor

FLAT = 1.0
"""Grey levels, of 0 to 255: a network whose outputs vary by less has collapsed. Set before any run was looked at."""


def flatness(y_N3HW: Tensor) -> str:
    """Why a network with these outputs has collapsed, or an empty text: its pictures are constant, or all the same.

    Constant: the standard deviation over the pixels of a channel, mean over channels and images, is below `FLAT`.
    The same: that over several images at one pixel, mean over pixels and channels, is.
    """
    if float(y_N3HW.std((2, 3), correction=0).mean()) < FLAT:
        return "every output is a constant picture"
    if len(y_N3HW) > 1 and float(y_N3HW.std(0, correction=0).mean()) < FLAT:
        return "the output is the same picture for every input"
    return ""
