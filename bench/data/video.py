"""Short films with exact optical flow that need no network: a photograph drifts by, another passes before it.

Every frame is sampled from two photographs along known motions, so the flow and the pixels that have no
counterpart in the frame before are known exactly, as no estimate can give them.

Shapes: T frames, H height, W width. A flow says of each pixel of the later frame where in the earlier one it came
from, in pixels (right, down).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from retable.bench.data import photos
from retable.bench.data.embedded import digest
from retable.bench.data.photos import PHOTOS
from retable.bench.data.source import Source

if TYPE_CHECKING:
    import numpy as np

GENERATOR = "scenes-1"
"""Version of how scenes are drawn; change it when any pixel or flow changes."""

MARGIN = 1.5
"""Pixels around the edge of the passing object where no flow is called valid: both motions mix there."""


@dataclass(frozen=True)
class Scene:
    """Two motions. Lengths are shares of the frame's width, per frame.

    behind, before: photographs. drift: of the background, (right, down). zoom: factor per frame of the background.
    start, pace: centre of the passing disc in the first frame (shares of width and height), and its motion.
    radius: of the disc, share of the frame's height. growth: factor per frame of the disc.
    """

    behind: str
    before: str
    drift: tuple[float, float]
    zoom: float
    start: tuple[float, float]
    pace: tuple[float, float]
    radius: float
    growth: float


SCENES: dict[str, Scene] = {
    "passing": Scene("china", "chelsea", (0.004, 0.001), 1.003, (0.18, 0.62), (0.013, -0.003), 0.27, 1.004),
    "rising": Scene("flower", "grace_hopper", (-0.006, 0.002), 0.998, (0.7, 0.8), (-0.008, -0.012), 0.3, 1.0),
}


@dataclass(frozen=True)
class Clip:
    """Frames of a film and how they hang together.

    frames: uint8 [T, H, W, 3]. flows: float32 [T - 1, 2, H, W]. valid: bool [T - 1, 1, H, W], False where the
    pixel was hidden or outside in the frame before, or where the motion is not known.
    """

    frames: np.ndarray
    flows: np.ndarray
    valid: np.ndarray


def load(scene: str, frames: int, height: int, width: int) -> Clip:
    """The first `frames` frames of `scene` (a key of `SCENES`), [height, width].

    Raises LookupError for an unknown scene, ValueError for fewer than 2 frames or sides below 16 pixels.
    """
    import itertools

    import numpy as np

    if scene not in SCENES:
        from retable.bench.task import did_you_mean

        raise LookupError(f"unknown scene '{scene}'{did_you_mean(scene, SCENES)}")
    if frames < 2 or min(height, width) < 16:
        raise ValueError(f"a clip has at least 2 frames of 16x16 pixels, not {frames} of {width}x{height}")
    at = [_Frame(SCENES[scene], t, frames, height, width) for t in range(frames)]
    behind = _photograph(SCENES[scene].behind, round(1.35 * height), round(1.35 * width))
    side = round(2.2 * SCENES[scene].radius * height)
    before = _photograph(SCENES[scene].before, side, side)
    pairs = [_between(a, b) for a, b in itertools.pairwise(at)]
    return Clip(
        np.stack([_drawn(f, behind, before) for f in at]),
        np.stack([flow for flow, _ in pairs]).astype(np.float32),
        np.stack([valid for _, valid in pairs])[:, None],
    )


class _Frame:
    """The geometry of frame t: pixel coordinates and the two maps from them into the photographs' planes."""

    def __init__(self, scene: Scene, t: int, frames: int, height: int, width: int) -> None:
        import numpy as np

        self.shape = (height, width)
        self.y, self.x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
        self.middle = (width / 2, height / 2)
        # The background's motion is centred on the middle of the film, so that its photograph suffices.
        since = t - (frames - 1) / 2
        self.scale = scene.zoom**since
        self.shift = (scene.drift[0] * width * since, scene.drift[1] * width * since)
        self.centre = (
            scene.start[0] * width + scene.pace[0] * width * t,
            scene.start[1] * height + scene.pace[1] * width * t,
        )
        self.growth = scene.growth**t
        self.radius = scene.radius * height * self.growth

    def behind(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel -> place in the background, measured from its middle."""
        mx, my = self.middle
        return (x - mx) * self.scale + self.shift[0], (y - my) * self.scale + self.shift[1]

    def behind_inverse(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mx, my = self.middle
        return (u - self.shift[0]) / self.scale + mx, (v - self.shift[1]) / self.scale + my

    def before(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel -> place in the passing photograph, measured from its middle."""
        return (x - self.centre[0]) / self.growth, (y - self.centre[1]) / self.growth

    def before_inverse(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return u * self.growth + self.centre[0], v * self.growth + self.centre[1]

    def depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Pixels from the edge of the disc, positive inside."""
        import numpy as np

        return np.asarray(self.radius - np.sqrt((x - self.centre[0]) ** 2 + (y - self.centre[1]) ** 2))


def _between(earlier: _Frame, later: _Frame) -> tuple[np.ndarray, np.ndarray]:
    """Flow [2, H, W] from `later` to `earlier`, and where it is valid, [H, W]."""
    import numpy as np

    x, y = later.x, later.y
    depth = later.depth(x, y)
    on_disc = depth > 0
    bx, by = earlier.behind_inverse(*later.behind(x, y))
    fx, fy = earlier.before_inverse(*later.before(x, y))
    px, py = np.where(on_disc, fx, bx), np.where(on_disc, fy, by)
    height, width = later.shape
    within = (px >= 0.5) & (px <= width - 0.5) & (py >= 0.5) & (py <= height - 0.5)
    seen = on_disc | (earlier.depth(px, py) < -MARGIN)
    return np.stack([px - x, py - y]), within & seen & (np.abs(depth) > MARGIN)


def _drawn(frame: _Frame, behind: np.ndarray, before: np.ndarray) -> np.ndarray:
    import numpy as np

    ground = _sampled(behind, *frame.behind(frame.x, frame.y))
    disc = _sampled(before, *frame.before(frame.x, frame.y))
    cover = np.clip(frame.depth(frame.x, frame.y) + 0.5, 0, 1)[..., None]
    return np.floor(ground * (1 - cover) + disc * cover + 0.5).astype(np.uint8)


def _photograph(name: str, height: int, width: int) -> np.ndarray:
    """A photograph's centre in the given shape, float64 [height, width, 3]."""
    import numpy as np
    from PIL import Image, ImageOps

    picture = Image.fromarray(photos.load(name))
    return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS), np.float64)


def _sampled(picture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear samples at places measured from the picture's middle; its edge is repeated."""
    import numpy as np

    height, width = picture.shape[:2]
    x = np.clip(u + width / 2 - 0.5, 0, width - 1)
    y = np.clip(v + height / 2 - 0.5, 0, height - 1)
    left, top = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    a, b = (x - left)[..., None], (y - top)[..., None]
    above = picture[top, left] * (1 - a) + picture[top, left + 1] * a
    below = picture[top + 1, left] * (1 - a) + picture[top + 1, left + 1] * a
    return np.asarray(above * (1 - b) + below * b)


def _used() -> list[str]:
    return sorted({name for s in SCENES.values() for name in (s.behind, s.before)})


def version() -> str:
    """Hash of the photographs used and of the way scenes are drawn."""
    return digest((PHOTOS[name] for name in _used()), GENERATOR)


_missing: Callable[[], str | None] = partial(photos.missing)

SOURCE = Source(
    name="video",
    about=f"{len(SCENES)} synthetic scenes with exact optical flow, drawn from embedded photographs",
    licence="the scenes: this project's; the photographs: each listed in bench/data/photos.py",
    version=version,
    missing=_missing,
    get=None,
    embedded=True,
)
