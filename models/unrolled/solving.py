"""Using a trained solver on one image, restructured as the settings say: the task `unrolled_picture` and its parts.

Sections 4.1 (scales, intensity, mixtures, regions) and 4.2.1 (photorealism).
Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from retable.bench.task import Context, State
from retable.models.transfer import data
from retable.models.transfer.objective import loss_network
from retable.models.transfer.pictures import PairTask, needed
from retable.models.transfer.style import SCALES, Region, everywhere, regions, style_of
from retable.models.unrolled import Layout, Restructured
from retable.models.unrolled.proximal import Proximal, photorealism
from retable.models.unrolled.training import solver_of

SEAM = 0.1
"""Width of the seam between two regions; a hard one shows."""


class Restructurable:
    """A trained solver with the loss network that its styles are measured in.

    solver: the network. alpha_floor: the one it was trained with.
    """

    def __init__(self, state: State, device: str) -> None:
        self.solver, trained = solver_of(state, device)
        self.vgg = loss_network(trained.weights, device)
        self.alpha_floor = trained.alpha_floor

    def guide(
        self,
        styles_13HW: Sequence[Tensor],
        weights: Sequence[float] | None = None,
        masks_11HW: Sequence[Tensor] | None = None,
    ) -> list[Region]:
        """One style, a mixture (equal weights unless given), or one style for each mask.

        Raises ValueError where weights or masks do not fit (see `retable.models.transfer.style`).
        """
        measured = [style_of(self.vgg, image, self.alpha_floor) for image in styles_13HW]
        if masks_11HW is not None:
            return regions(measured, masks_11HW)
        return everywhere(*measured, weights=weights)

    def __call__(
        self,
        content_13HW: Tensor,
        guide: Sequence[Region],
        scales: Sequence[float] = (1, 1, 1, 1, 1),
        intensity: float = 1.0,
        proximal: Proximal | None = None,
    ) -> Tensor:
        """X(N), [1, 3, H, W], not clipped."""
        with torch.no_grad():
            found: Tensor = self.solver(content_13HW, guide, scales, intensity=intensity, proximal=proximal)[-1]
        return found


class RestructuredTask(PairTask):
    """The task `unrolled_picture`."""

    def __init__(self, settings: Restructured, context: Context) -> None:
        super().__init__(settings, context.device)
        self.settings = settings
        self.method = Restructurable(needed(context.start, "a trained solver"), context.device)

    def run(self) -> Tensor:
        s = self.settings
        styles, weights, masks = [self.style_13HW], None, None
        if s.second:
            styles.append(data.tensor(data.image(s.second, *s.pixels), self.device))
            if s.layout == "mixed":
                weights = [1 - s.share, s.share]
            else:
                masks = masks_of(s.layout, *s.pixels, self.device)
        guide = self.method.guide(styles, weights, masks)
        proximal = photorealism(self.content_13HW, s.photo_weight, s.solver) if s.photo else None
        return self.method(self.content_13HW, guide, betas(s.scales), s.intensity, proximal)


def betas(scales: str) -> list[float]:
    """ "1245" -> [1, 1, 0, 1, 1]: which of the five scales are on; "none" switches all off."""
    return [float(str(s + 1) in scales) for s in range(len(SCALES))]


def masks_of(layout: Layout, height: int, width: int, device: str) -> list[Tensor]:
    """Two masks [1, 1, H, W] that share the picture out: the first style's and the second's.

    Between them one fades into the other over `SEAM` of the shorter side.
    """
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    if layout == "halves":
        inside = x - width / 2
    else:
        inside = 0.35 * min(height, width) - ((x - width / 2).square() + (y - height / 2).square()).sqrt()
    second = (0.5 + inside / (SEAM * min(height, width))).clamp(0, 1)
    mask = second[None, None].to(device)
    return [1 - mask, mask]
