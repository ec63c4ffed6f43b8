"""Made-up sorting belts: cluttered, overlapping, translucent, scale-varied objects with a class per pixel.

What is drawn follows the description of ZeroWaste-f in its paper and in FANet's (arXiv 2407.09379, sections 1 and
4.1): a textured belt under uneven light; scraps of paper in cardboard's colours that belong to the background;
opaque corrugated cardboard, translucent soft film with wrinkles, half-translucent rigid plastic, small shiny metal,
over a sevenfold range of sizes, later ones over earlier ones. Written to disk as `zerowaste` reads it,
labels.json with polygons included, so that a run on it exercises the loader of the real set.

Everything of scene i is drawn from one generator seeded with (seed, split, i): any part of a set can be made alone.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retable.bench import files
from retable.bench.data.download import Watcher, quiet
from retable.bench.data.source import Source, root

if TYPE_CHECKING:
    import numpy as np

METHOD = "clutter-1"
"""How a seed becomes a scene; change it with any change below, and sets are made anew."""

WORTH_PROCESSES = 30_000_000
"""Pixels of a set from which several processes make it sooner than one: some ten seconds of work."""

Part = Literal["train", "val", "test", "unlabelled"]
PARTS: tuple[Part, ...] = ("train", "val", "test", "unlabelled")

RIGID, CARDBOARD, METAL, SOFT = 1, 2, 3, 4

SHARES = {RIGID: 0.20, CARDBOARD: 0.35, METAL: 0.20, SOFT: 0.25}
"""Chance that an object is of a class. Cardboard and film lead, as on the real belt; metal covers little there too
(0.1 to 0.3 % of pixels), but here enough for a fifth of the mean IoU not to rest on a handful of objects."""

RADIUS = {RIGID: (4.0, 20.0), CARDBOARD: (6.0, 30.0), METAL: (4.0, 12.0), SOFT: (6.0, 28.0)}
"""Pixels at a side of 96; log-uniform between the two, scaled with the side."""


@dataclass(frozen=True)
class Scene:
    """image: uint8 [S, S, 3]. mask: uint8 [S, S] of class indices. objects: (class, polygon [(x, y), ...]),
    in the order in which they were laid down."""

    image: np.ndarray
    mask: np.ndarray
    objects: list[tuple[int, list[tuple[float, float]]]]


def prepare(
    size: int,
    counts: dict[Part, int],
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Watcher = quiet,
) -> Path:
    """Folder of a set with `counts` scenes a part at `size` pixels a side; made on the first call, then kept.

    Parts are folders as `retable.bench.data.zerowaste` reads them; "unlabelled" has frames alone. Made by `workers`
    processes (default: one a core, but one alone where starting more would take longer). Several may call it at
    once: one works, the others wait. The folder appears when it is complete.
    """
    from filelock import FileLock

    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, not {size}")
    words = "-".join(f"{part}{counts[part]}" for part in PARTS if counts.get(part))
    target = root() / "clutter" / f"{METHOD}-{size}px-{words}-seed{seed}"
    if target.is_dir():
        return target
    large = sum(counts.values()) * size**2 > WORTH_PROCESSES
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(target.name + ".lock")):
        if not target.is_dir():
            making = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
            try:
                _make(making, size, counts, seed, workers or (_cores() if large else 1), progress)
                making.rename(target)
            finally:
                shutil.rmtree(making, ignore_errors=True)
    return target


def scene(size: int, seed: int, part: Part = "train", index: int = 0) -> Scene:
    """Scene `index` of a part. The same on every call and machine, whatever else was made."""
    import numpy as np

    rng = np.random.default_rng((seed, PARTS.index(part), index))
    canvas = _belt(size, rng)
    mask = np.zeros((size, size), np.uint8)
    unit = size / 96
    for _ in range(rng.integers(14, 24)):
        _scrap(canvas, unit, rng)
    objects = []
    for _ in range(rng.integers(4, 9)):
        kind = int(rng.choice(list(SHARES), p=list(SHARES.values())))
        low, high = RADIUS[kind]
        radius = unit * math.exp(rng.uniform(math.log(low), math.log(high)))
        centre = rng.uniform(0, size, 2)
        outline = _outline(kind, centre, radius, rng)
        patch = _patch(outline, size)
        if patch is None:
            continue
        _DRAW[kind](canvas, patch, radius, rng)
        mask[patch.rows, patch.columns][patch.inside] = kind
        objects.append((kind, [(float(x), float(y)) for x, y in outline]))
    light = 1 + 0.28 * _smooth(size, 3, rng)
    canvas *= light[..., None]
    canvas += rng.normal(0, 3.0, canvas.shape).astype(np.float32)
    return Scene(np.clip(canvas, 0, 255).astype(np.uint8), mask, objects)


@dataclass(frozen=True)
class _Patch:
    """The part of a canvas that an outline covers. x, y: coordinates of its pixels relative to its middle."""

    rows: slice
    columns: slice
    inside: np.ndarray
    rim: np.ndarray
    x: np.ndarray
    y: np.ndarray


def _patch(outline: np.ndarray, size: int) -> _Patch | None:
    """None where nothing of the outline lies on the canvas."""
    import numpy as np
    from PIL import Image, ImageDraw

    low = np.clip(np.floor(outline.min(0)).astype(int), 0, size)
    high = np.clip(np.ceil(outline.max(0)).astype(int) + 1, 0, size)
    if (high - low < 1).any():
        return None
    picture = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])))
    draw = ImageDraw.Draw(picture)
    corners = [(float(x), float(y)) for x, y in outline - low]
    draw.polygon(corners, fill=255)
    inside = np.asarray(picture) > 0
    if not inside.any():
        return None
    draw.line([*corners, corners[0]], fill=100, width=1)
    rim = np.asarray(picture) == 100
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    middle = outline.mean(0)
    rows, columns = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    return _Patch(rows, columns, inside, rim & inside, x - middle[0], y - middle[1])


def _outline(kind: int, centre: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """[N, 2] corners: a bent quadrilateral of cardboard, an ellipse of plastic or metal, a blob of film."""
    import numpy as np

    turn, aspect = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 1.0)
    if kind == CARDBOARD:
        corners = np.array([[-1, -aspect], [1, -aspect], [1, aspect], [-1, aspect]]) + rng.uniform(-0.2, 0.2, (4, 2))
    else:
        angle = np.linspace(0, 2 * math.pi, 28, endpoint=False)
        distance = np.ones_like(angle)
        if kind == SOFT:
            for wave in (2, 3, 5):
                distance += rng.uniform(0.05, 0.22) * np.sin(wave * angle + rng.uniform(0, 2 * math.pi))
        corners = np.stack([np.cos(angle), aspect * np.sin(angle)], 1) * distance[:, None]
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.asarray(centre + radius * corners @ rotation.T)


def _lay(canvas: np.ndarray, patch: _Patch, colour: np.ndarray, alpha: np.ndarray | float) -> None:
    """Lay `colour` [h, w, 3] (or one that broadcasts to it) over the canvas with opacity `alpha` [h, w]."""
    import numpy as np

    under = canvas[patch.rows, patch.columns]
    a = np.asarray(alpha * patch.inside, np.float32)[..., None]
    under += a * (colour - under)


def _cardboard(canvas: np.ndarray, patch: _Patch, radius: float, rng: np.random.Generator) -> None:
    """Opaque and brown; fine corrugation, shaded from one side to the other."""
    import numpy as np

    turn, pitch = rng.uniform(0, math.pi), rng.uniform(2.2, 3.2)
    along = math.cos(turn) * patch.x + math.sin(turn) * patch.y
    shade = 1 + 0.18 * (along / radius) + 0.07 * np.sin(2 * math.pi * along / pitch)
    _lay(canvas, patch, _brown(rng) * shade[..., None], 1.0)


def _soft(canvas: np.ndarray, patch: _Patch, radius: float, rng: np.random.Generator) -> None:
    """Film: much of what lies under it shows; wrinkles and the rim shine."""
    import numpy as np

    tint = np.array([225, 230, 235], np.float32) + rng.uniform(-25, 20, 3).astype(np.float32)
    alpha = np.full(patch.x.shape, rng.uniform(0.18, 0.42), np.float32)
    for _ in range(3):
        turn, shift = rng.uniform(0, math.pi), rng.uniform(-0.6, 0.6) * radius
        across = np.abs(math.cos(turn) * patch.x + math.sin(turn) * patch.y - shift)
        alpha += 0.35 * (across < 0.7)
    alpha[patch.rim] += 0.3
    _lay(canvas, patch, tint, np.minimum(alpha, 0.9))


def _rigid(canvas: np.ndarray, patch: _Patch, radius: float, rng: np.random.Generator) -> None:
    """A bottle or tub: half translucent, of one strong colour, smoothly shaded, with a light rim."""
    import numpy as np

    colour = np.array([60, 60, 60], np.float32)
    colour[rng.integers(0, 3)] = rng.uniform(150, 230)
    colour[rng.integers(0, 3)] += rng.uniform(0, 80)
    turn = rng.uniform(0, 2 * math.pi)
    shade = 1 + 0.3 * (math.cos(turn) * patch.x + math.sin(turn) * patch.y) / radius
    shade = shade + 0.5 * patch.rim
    _lay(canvas, patch, colour * shade[..., None], rng.uniform(0.35, 0.65))


def _metal(canvas: np.ndarray, patch: _Patch, radius: float, rng: np.random.Generator) -> None:
    """A can: opaque, grey, in coarse bands from dark to glaring."""
    import numpy as np

    turn, pitch, phase = rng.uniform(0, math.pi), rng.uniform(0.6, 1.1) * radius, rng.uniform(0, 2 * math.pi)
    band = np.sin(2 * math.pi * (math.cos(turn) * patch.x + math.sin(turn) * patch.y) / pitch + phase)
    grey = 150 + 85 * band
    _lay(canvas, patch, grey[..., None] * np.array([1.0, 1.0, 1.03], np.float32), 1.0)


_DRAW = {RIGID: _rigid, CARDBOARD: _cardboard, METAL: _metal, SOFT: _soft}


def _scrap(canvas: np.ndarray, unit: float, rng: np.random.Generator) -> None:
    """Paper: plain, small, brown as cardboard or grey as newsprint. Background, whatever its colour."""
    import numpy as np

    outline = _outline(CARDBOARD, rng.uniform(0, len(canvas), 2), unit * rng.uniform(2.5, 7.0), rng)
    patch = _patch(outline, len(canvas))
    if patch is not None:
        colour = _brown(rng) if rng.random() < 0.5 else np.full(3, rng.uniform(120, 215), np.float32)
        _lay(canvas, patch, colour, 1.0)


def _brown(rng: np.random.Generator) -> np.ndarray:
    import numpy as np

    return np.array([164, 122, 82], np.float32) * np.float32(rng.uniform(0.8, 1.2))


def _belt(size: int, rng: np.random.Generator) -> np.ndarray:
    """Dark rubber: stains over many pixels, grain over few. Float32 [S, S, 3]."""
    import numpy as np

    grey = 78 + 22 * _smooth(size, 5, rng) + rng.normal(0, 7.0, (size, size)).astype(np.float32)
    return np.asarray(grey[..., None] * np.array([0.97, 1.0, 1.04], np.float32))


def _smooth(size: int, knots: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random field in about [-1, 1], [S, S]: `knots` x `knots` random values, bicubic between them."""
    import numpy as np
    from PIL import Image

    coarse = Image.fromarray(rng.uniform(-1, 1, (knots, knots)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _make(folder: Path, size: int, counts: dict[Part, int], seed: int, workers: int, progress: Watcher) -> None:
    """All parts, in chunks over processes; labels.json of each from what the chunks return."""
    jobs = []
    for part in PARTS:
        (folder / part / "data").mkdir(parents=True, exist_ok=True)
        if part != "unlabelled":
            (folder / part / "sem_seg").mkdir(exist_ok=True)
        count = counts.get(part, 0)
        chunk = max(8, math.ceil(count / (4 * workers)))
        jobs += [(folder, size, seed, part, range(i, min(count, i + chunk))) for i in range(0, count, chunk)]
    described: dict[Part, list[dict[str, Any]]] = {part: [] for part in PARTS}
    done, total = 0, sum(counts.values())
    for job, rows in zip(jobs, _run(jobs, workers), strict=True):
        described[job[3]] += rows
        done += len(job[4])
        progress("generate clutter", done, total)
    for part, rows in described.items():
        if part != "unlabelled":
            files.write(folder / part / "labels.json", json.dumps(_coco(rows, size)))


_Job = tuple[Path, int, int, Part, Sequence[int]]


def _run(jobs: Sequence[_Job], workers: int) -> Iterable[list[dict[str, Any]]]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_chunk, jobs)
        return
    import multiprocessing

    # Not fork: the caller may hold threads of torch, which a forked child would hang on.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from pool.map(_chunk, jobs)


def _chunk(job: _Job) -> list[dict[str, Any]]:
    """Write the scenes of a job; returns what labels.json says of each."""
    from PIL import Image

    folder, size, seed, part, indices = job
    rows = []
    for index in indices:
        made, name = scene(size, seed, part, index), f"{index:06d}.PNG"
        Image.fromarray(made.image).save(folder / part / "data" / name, "PNG", compress_level=1)
        if part != "unlabelled":
            Image.fromarray(made.mask).save(folder / part / "sem_seg" / name, "PNG", compress_level=1)
        rows.append({"name": name, "objects": made.objects})
    return rows


def _coco(rows: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """COCO's instance format. Polygons are whole objects: what lies on top is not cut out of them."""
    from retable.bench.data.zerowaste import CLASSES

    annotations: list[dict[str, Any]] = []
    for image, row in enumerate(rows, 1):
        for kind, polygon in row["objects"]:
            xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
            edges = zip(polygon, polygon[1:] + polygon[:1], strict=True)
            area = abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges)) / 2
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": kind,
                    "segmentation": [[round(v, 2) for corner in polygon for v in corner]],
                    "bbox": [round(v, 2) for v in (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))],
                    "area": round(area, 2),
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": i, "file_name": row["name"], "width": size, "height": size} for i, row in enumerate(rows, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES) if i],
        "annotations": annotations,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


SOURCE = Source(
    name="clutter",
    about="made-up sorting belts, five classes per pixel, in ZeroWaste's layout; any size and number, from a seed",
    licence="made by this project",
    version=lambda: METHOD,
    missing=lambda: None,
    get=None,
    embedded=True,
)
