"""The procedural style images: cells, strokes, rings, scales and facets, each from a fixed seed.

Drawn with additions, multiplications, divisions and square roots only (no sine, no matrix product), all
of which IEEE 754 rounds exactly, so that a style is the same picture on every machine.

Shapes: N pixels a side, [N, N] planes, [N, N, 3] colours in [0, 1], coordinates in [0, 1), y down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
Colours = NDArray[np.float64]

INK = (0.05, 0.05, 0.09)
DIRECTIONS = np.array([(1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (-0.6, 0.8), (0.8, 0.6), (-0.8, 0.6)])


def draw(name: str, size: int) -> NDArray[np.uint8]:
    """The style called `name` as uint8 [size, size, 3]. Raises KeyError for a name it does not know."""
    colours = _DRAW[name](size)
    return np.floor(np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8)


def mosaic(size: int) -> Colours:
    """A stained-glass window: Voronoi cells in eight colours, black outlines, fine hatching."""
    palette = _palette("d7263d f46036 f5c518 2e933c 1b998b 2660a4 5b2a86 f3ead3")
    rng = _rng(11)
    x, y = _grid(size)
    cell, border, nearest = _voronoi(x, y, _jittered(rng, 9))
    count = cell.max() + 1
    tone = palette[rng.integers(len(palette), size=count)] * (0.86 + 0.24 * rng.random((count, 1)))
    direction = DIRECTIONS[rng.integers(len(DIRECTIONS), size=count)]
    pitch = 52 + 30 * rng.random(count)

    across = x * direction[cell, 0] + y * direction[cell, 1]
    hatch = _step(0.30, 0.55, _triangle(across * pitch[cell]))
    picture = tone[cell] * (0.70 + 0.30 * hatch)[..., None]
    # Glass is lighter in the middle of a cell than beside its lead.
    middle = 0.90 + 0.22 * _step(0.0, 0.05, border)
    picture = picture * middle[..., None] + 0.10 * (1 - _step(0, 0.03, nearest))[..., None]
    return _over(picture, INK, 1 - _step(0.0042, 0.0072, border))


def swirls(size: int) -> Colours:
    """A night sky of brush strokes that follow vortices, with stars at some of their centres."""
    night = _palette("0b1d51 13357a 1f5aa6 3c86c6 7fb7d9 16264f 2a4a8c d9c77e")
    rng = _rng(23)
    x, y = _grid(size)
    centres = rng.random((7, 2)) * 0.9 + 0.05
    strength = (0.35 + 0.5 * rng.random(7)) * np.where(rng.random(7) < 0.5, -1, 1)

    def flow(px: Plane, py: Plane) -> tuple[Plane, Plane]:
        vx, vy = np.full_like(px, 0.9), 0.25 - 0.5 * _triangle(px * 1.5)
        for (cx, cy), s in zip(centres, strength, strict=True):
            dx, dy = px - cx, py - cy
            fall = s / (dx * dx + dy * dy + 0.006) * 0.25
            vx, vy = vx - dy * fall, vy + dx * fall
        length = np.sqrt(vx * vx + vy * vy) + 1e-9
        return vx / length, vy / length

    # Dabs of paint, brighter around the vortices, then drawn out along the flow (which evens them out: hence
    # the exaggerated contrast before).
    dab, _, _ = _voronoi(x, y, _jittered(rng, 64))
    paint = night[rng.choice(len(night), size=dab.max() + 1, p=[0.2, 0.2, 0.18, 0.14, 0.08, 0.1, 0.07, 0.03])][dab]
    glow = np.zeros_like(x)
    ring = np.zeros_like(x)
    for (cx, cy), s in zip(centres, strength, strict=True):
        r = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
        reach = 0.045 + 0.06 * abs(s)
        glow = np.maximum(glow, 1 - _step(0.25 * reach, 0.8 * reach, r))
        ring = np.maximum(ring, _step(0.3, 0.8, _triangle(r * 20)) * (1 - _step(reach, 3.2 * reach, r)))
    light = _over(np.broadcast_to(_hex("f6d64a"), paint.shape), _hex("fdf6c9"), glow * glow)
    speckle = 0.55 + 0.9 * rng.random(dab.max() + 1)[dab]
    paint = _over(paint, _hex("c9e0c2"), 0.6 * ring)
    paint = _hex("2a5596") + 1.45 * (paint - _hex("2a5596"))
    paint = (paint * (1 - glow)[..., None] + light * glow[..., None]) * speckle[..., None]
    return _smeared(paint, flow, steps=12, stride=1.0 / 512)


def circles(size: int) -> Colours:
    """Squares of concentric rings in many colours, unevenly drawn, as in a colour study."""
    palette = _palette("c8102e f2a900 1d4e89 0b8a6f f4e3c1 6a2c70 e85d04 2b2d42 9bc1bc f7b2ad")
    rng = _rng(37)
    x, y = _grid(size)
    n = 4
    u, v = x * n, y * n
    column, row = np.minimum(u, n - 1).astype(int), np.minimum(v, n - 1).astype(int)
    cell = row * n + column
    dx = u - column - 0.5 + 0.10 * (rng.random(n * n)[cell] - 0.5)
    dy = v - row - 0.5 + 0.10 * (rng.random(n * n)[cell] - 0.5)
    # A wobble from low-frequency noise keeps the rings from looking ruled.
    r = np.sqrt(dx * dx + dy * dy * (0.8 + 0.4 * rng.random(n * n)[cell])) + 0.035 * (_noise(rng, x, y, 14) - 0.5)
    rings = 7
    edges = np.cumsum(0.5 + rng.random((n * n, rings)), axis=1)
    edges = edges / edges[:, -1:] * 0.56
    index = (r[..., None] > edges[cell]).sum(axis=-1)
    order = np.stack([rng.permutation(len(palette))[: rings + 1] for _ in range(n * n)])
    picture = palette[order[cell, index]]
    canvas = 0.86 + 0.14 * _noise(rng, x, y, 90) + 0.10 * (_noise(rng, x, y, 9) - 0.5)
    gap = np.minimum(0.5 - abs(u - column - 0.5), 0.5 - abs(v - row - 0.5))
    rim = np.min(abs(r[..., None] - edges[cell]), axis=-1)
    picture = _over(picture, INK, 0.75 * (1 - _step(0.004, 0.014, rim)))
    return _over(picture * canvas[..., None], INK, 1 - _step(0.010, 0.022, gap))


def waves(size: int) -> Colours:
    """Overlapping scales of indigo, teal and foam with engraved lines: a woodblock sea."""
    deep, mid, pale = _hex("14285c"), _hex("2f7f93"), _hex("efe6d0")
    rng = _rng(41)
    x, y = _grid(size)
    bend = 0.05 * (_noise(rng, x, y, 4) - 0.5)
    n = 6
    picture = np.broadcast_to(deep, (size, size, 3)).copy()
    radius = 0.62 / n
    for row in range(-1, 2 * n + 3):  # lower rows lie over upper ones
        cy = (row + 0.5) / (2 * n) + 0.25 / n
        shift = 0.5 * (row % 2)
        column = np.floor(x * n - shift + bend * n)
        cx = (column + shift + 0.5) / n - bend
        tint = rng.random(4 * n)[np.clip(column.astype(int) + n, 0, 4 * n - 1)]
        r = np.sqrt((x - cx) ** 2 + (y - cy + bend) ** 2) / radius
        band = np.floor(r * 4.0)
        line = 1 - _step(0.10, 0.26, _triangle(r * 8.0))
        light, dark = mid * (0.65 + 0.5 * tint[..., None]), deep * (0.8 + 0.5 * tint[..., None])
        body = np.where((band % 2 == 0)[..., None], light, dark)
        body = _over(body, pale, np.where(band == 3, 0.92, 0.0))
        body = _over(body, pale, 0.55 * line * (band < 3))
        body = _over(body, INK, 1 - _step(0.02, 0.06, 1 - r))
        inside = (r < 1).astype(float)
        picture = picture * (1 - inside)[..., None] + body * inside[..., None]
    grain = 0.90 + 0.16 * _noise(rng, x * 0.3, y, 120)
    return picture * grain[..., None]


def facets(size: int) -> Colours:
    """Sharp shaded triangles in earth and sky colours, some with inked edges: a cubist surface."""
    palette = _palette("3d2b1f 7f5539 b08968 ddb892 f0dfc8 606c38 9aa56b 33415c 5c7a99 a9bcc9 c8553d e8a45c")
    rng = _rng(53)
    x, y = _grid(size)
    n = 8
    points = _jittered(rng, n)
    # Neighbouring facets tend to share a hue, so that larger planes appear.
    field = _noise(rng, points[..., 0], points[..., 1], 3)
    picture = np.zeros((size, size, 3))
    ink = np.zeros((size, size))
    for j in range(n + 3):
        for i in range(n + 3):
            a, b, c, d = points[j, i], points[j, i + 1], points[j + 1, i + 1], points[j + 1, i]
            halves = ((a, b, c), (a, c, d)) if rng.random() < 0.5 else ((a, b, d), (b, c, d))
            for corners in halves:
                tri = np.stack(corners)
                hue = int(field[j, i] * 1.6 * len(palette) + 3 * rng.random()) % len(palette)
                direction = DIRECTIONS[rng.integers(len(DIRECTIONS))]
                inked = rng.random() < 0.45
                low, high = tri.min(axis=0) - 0.01, tri.max(axis=0) + 0.01
                left, top = (max(0, int(v * size)) for v in low)
                right, bottom = (min(size, int(v * size) + 1) for v in high)
                if left >= right or top >= bottom:
                    continue
                box = (slice(top, bottom), slice(left, right))
                px, py = x[box], y[box]
                edges = [_side(px, py, *tri[k], *tri[(k + 1) % 3]) for k in range(3)]
                inside = np.minimum(np.minimum(edges[0], edges[1]), edges[2])
                cover = (inside >= 0)[..., None]
                along = ((px - tri[:, 0].mean()) * direction[0] + (py - tri[:, 1].mean()) * direction[1]) * n
                shaded = palette[hue] * np.clip(0.92 + 0.55 * along, 0.5, 1.35)[..., None]
                picture[box] = np.where(cover, shaded, picture[box])
                line = (1 - _step(0.0015, 0.0042, inside)) * (inside >= 0) * (0.9 if inked else 0.25)
                ink[box] = np.maximum(ink[box], line)
    picture = _over(picture, INK, ink)
    strokes = 0.84 + 0.32 * _noise(rng, x + 0.5 * y, (y - 0.5 * x) * 0.25, 110)
    return picture * strokes[..., None]


_DRAW: dict[str, Callable[[int], Colours]] = {
    "mosaic": mosaic,
    "swirls": swirls,
    "circles": circles,
    "waves": waves,
    "facets": facets,
}


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _hex(code: str) -> NDArray[np.float64]:
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def _palette(codes: str) -> NDArray[np.float64]:
    return np.stack([_hex(code) for code in codes.split()])


def _grid(size: int) -> tuple[Plane, Plane]:
    """Pixel centres."""
    line = (np.arange(size) + 0.5) / size
    return np.tile(line, (size, 1)), np.repeat(line[:, None], size, axis=1)


def _triangle(t: Plane) -> Plane:
    """A triangle wave of period 1: 0 at integers, 1 halfway."""
    return np.asarray(abs(t - np.floor(t + 0.5)) * 2)


def _step(low: float, high: float, t: Plane) -> Plane:
    """0 below `low`, 1 above `high`, a cubic between."""
    s = np.clip((t - low) / (high - low), 0, 1)
    return np.asarray(s * s * (3 - 2 * s))


def _over(below: Colours, colour: NDArray[np.float64] | tuple[float, ...], alpha: Plane) -> Colours:
    a = alpha[..., None]
    return np.asarray(below * (1 - a) + np.asarray(colour) * a)


def _side(x: Plane, y: Plane, ax: float, ay: float, bx: float, by: float) -> Plane:
    """Distance to the line from a to b, positive on the right of it as seen on screen."""
    ex, ey = bx - ax, by - ay
    return np.asarray(((y - ay) * ex - (x - ax) * ey) / (np.sqrt(ex * ex + ey * ey) + 1e-12))


def _jittered(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """One point in every cell of an n x n grid and two rings around it: [n + 4, n + 4, 2]."""
    lattice = np.stack(np.meshgrid(np.arange(-2, n + 2), np.arange(-2, n + 2)), axis=-1)
    return (lattice + 0.06 + 0.88 * rng.random((n + 4, n + 4, 2))) / n


def _voronoi(x: Plane, y: Plane, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], Plane, Plane]:
    """Index of the nearest point, distance to the cell's border and to that point, of every pixel.

    Two passes over the neighbours of each pixel's grid cell: the nearest point, then the nearest of the
    bisectors between it and the others.
    """
    n = len(points) - 4
    column, row = (x * n).astype(np.int64) + 2, (y * n).astype(np.int64) + 2
    neighbours = [(i, j) for j in range(-2, 3) for i in range(-2, 3)]
    nearest = np.full_like(x, np.inf)
    cell = np.zeros(x.shape, np.int64)
    for i, j in neighbours:
        p = points[row + j, column + i]
        squared = (x - p[..., 0]) ** 2 + (y - p[..., 1]) ** 2
        cell = np.where(squared < nearest, (row + j) * (n + 4) + column + i, cell)
        nearest = np.minimum(nearest, squared)
    mine = points.reshape(-1, 2)[cell]
    border = np.full_like(x, np.inf)
    for i, j in neighbours:
        p = points[row + j, column + i]
        squared = (x - p[..., 0]) ** 2 + (y - p[..., 1]) ** 2
        apart = np.sqrt((p[..., 0] - mine[..., 0]) ** 2 + (p[..., 1] - mine[..., 1]) ** 2)
        other = apart > 0
        distance = np.where(other, (squared - nearest) / np.where(other, 2 * apart, 1), np.inf)
        border = np.minimum(border, distance)
    return cell, border, np.sqrt(nearest)


def _noise(rng: np.random.Generator, x: Plane, y: Plane, n: int) -> Plane:
    """Smooth value noise in [0, 1] with n lattice cells to the unit; coordinates may leave [0, 1)."""
    lattice = rng.random((3 * n + 2, 3 * n + 2))
    u, v = np.clip((x + 1) * n, 0, 3 * n), np.clip((y + 1) * n, 0, 3 * n)
    i, j = u.astype(np.int64), v.astype(np.int64)
    a, b = _step(0, 1, u - i), _step(0, 1, v - j)
    top = lattice[j, i] * (1 - a) + lattice[j, i + 1] * a
    bottom = lattice[j + 1, i] * (1 - a) + lattice[j + 1, i + 1] * a
    return np.asarray(top * (1 - b) + bottom * b)


def _smeared(
    paint: Colours, flow: Callable[[Plane, Plane], tuple[Plane, Plane]], *, steps: int, stride: float
) -> Colours:
    """Line integral convolution (Cabral and Leedom 1993): the mean colour along the flow, both ways."""
    size = len(paint)
    x, y = _grid(size)
    total, weight = paint.copy(), 1.0
    for way in (1.0, -1.0):
        px, py = x, y
        for k in range(steps):
            vx, vy = flow(px, py)
            px, py = px + way * stride * vx, py + way * stride * vy
            column = np.clip(px * size, 0, size - 1).astype(np.int64)
            row = np.clip(py * size, 0, size - 1).astype(np.int64)
            share = 1 - k / steps
            total = total + share * paint[row, column]
            weight += share
    return np.asarray(total / weight)
