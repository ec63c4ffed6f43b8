"""Figure 2 and section 2: what multiplying an image with its blurred version keeps, and what subtracting it does.

The paper motivates its refinement module by this pair of operations, on any image. Task `waste_frequencies`; the
trial's seed picks the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from retable.bench.data import clutter, zerowaste
from retable.bench.task import Context, Evaluation, State
from retable.models.fanet import Frequencies

Floats = NDArray[np.float64]


def make(settings: Frequencies, context: Context) -> FrequenciesTask:
    """Task `waste_frequencies`."""
    return FrequenciesTask(settings, context.seed)


class FrequenciesTask:
    """No step; the evaluation is one picture and one number."""

    steps = 0

    def __init__(self, settings: Frequencies, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def step(self, index: int) -> Mapping[str, Tensor]:
        raise IndexError("this task has no steps")

    def evaluate(self) -> Evaluation:
        s = self.settings
        if s.data == "clutter":
            frame = clutter.scene(s.image_size, self.seed, "test").image
        else:
            pairs = zerowaste.pairs("test")
            frame = zerowaste.read(pairs[self.seed % len(pairs)])[0]
        part = parts(frame / 255, s.blur / 100 * min(frame.shape[:2]))[s.part]
        shown = part + 0.5 if s.part == "difference" else part
        picture = (255 * np.clip(shown, 0, 1)).astype(np.uint8)
        return Evaluation(metrics={"detail/share": detail_share(part)}, images={"picture": picture})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: State) -> None:
        """There is none."""


def parts(image: Floats, deviation: float) -> dict[str, Floats]:
    """I, I_b, I * I_b and I - I_b of figure 2, each [H, W, 3].

    image: in [0, 1]. deviation: of the Gaussian, in pixels. The difference is in [-1, 1], the others in [0, 1].
    """
    from scipy.ndimage import gaussian_filter

    blurred: Floats = gaussian_filter(image, (deviation, deviation, 0), mode="reflect")
    return {"image": image, "blurred": blurred, "product": image * blurred, "difference": image - blurred}


def detail_share(image: Floats) -> float:
    """Percent of an image's energy [H, W, 3], its mean left out, at more than a quarter of the pixel rate.

    nan for an image of one colour, which has no such energy. To a millionth of a percent: what is less is the
    rounding of the transform, and other on every machine.
    """
    centred = image - image.mean((0, 1))
    # Weighted by a window, or the jump from one border to the other would count as detail.
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])[None]
    energy = np.abs(np.fft.fft2(centred * window[..., None], axes=(0, 1))) ** 2
    y, x = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None]
    total = float(energy.sum())
    return round(100 * float(energy[np.hypot(y, x) > 0.25].sum()) / total, 6) if total else float("nan")
