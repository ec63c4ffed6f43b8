"""A trained model on one's own pictures: finds the model, reads what it is given, writes what it makes.

What a model does with a request is its family's affair (`TaskSpec.apply`). Results are written to temporary names
and renamed when all are there, so that a failure leaves nothing half-written.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import plan, status, stores, suite
from bench.data import DataError
from bench.plan import Trial
from bench.status import Status
from bench.suite import SuiteFile
from bench.task import Request, TaskSpec, find_task, load

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FILMS = frozenset({".gif", ".mp4", ".avi", ".mov", ".mkv", ".webm"})
"""File name endings that are read as films."""

LONGEST = 10_000
"""A film has at most so many frames: all of them are held in memory."""


class ApplyError(ValueError):
    """No model fits, or the request does not fit the model; the text says what to do."""


@dataclass(frozen=True)
class Found:
    """A trained model: its trial, and the folder or store that its run is in."""

    trial: Trial
    spec: TaskSpec
    status: Status


@dataclass(frozen=True)
class Made:
    """What was written, and by which trial."""

    trial: Trial
    files: list[Path]


def apply(
    file: SuiteFile | str | Path,
    contents: Sequence[Path],
    out: Path,
    *,
    styles: Sequence[str] = (),
    weights: Sequence[float] = (),
    masks: Sequence[Path] = (),
    photo: bool = False,
    upscale: int = 1,
    intensity: float = 1.0,
    size: int = 0,
    scale: str = "quick",
    only: Sequence[str] = (),
    where: str = "",
    device: str = "cpu",
    tracking: str | None = None,
) -> Made:
    """Use a suite's trained model on pictures, a folder of frames or a film.

    contents: image files, or one folder of frames, or one film (GIF, or MP4 and the like with imageio's pyav).
    out: a folder; or the file to write, where there is one picture; or a .gif for a film.
    styles: image files or words of `bench.data.styles`. masks: grey images in the contents' proportions, white where
    the style of the same place goes. size: longer side of what is computed, in pixels; 0 keeps the content's own.
    only, where: which of the suite's models, if it trained several; otherwise the one that its other trials start
    from, the newest of them.
    Raises ApplyError, DataError (naming the file), SuiteError or PlanError.
    """
    file = suite.load(file) if not isinstance(file, SuiteFile) else file
    place = stores.locate(file.project, tracking)
    found = model_of(file, place, scale, only, where)
    names, pictures, film = _contents(contents)
    pictures = [_limited(p, size) for p in pictures]
    if film:
        _equal_sizes(names, pictures)
    request = Request(
        contents=[_array(p) for p in pictures],
        styles=[_array(_limited(_style(s), size)) for s in styles],
        weights=weights,
        masks=[_mask(m, pictures) for m in masks],
        film=film,
        photo=photo,
        upscale=upscale,
        intensity=intensity,
    )
    if weights and len(weights) != len(styles):
        raise ApplyError(f"{len(styles)} styles but {len(weights)} weights: give one weight a style, or none")
    if masks and len(masks) != len(styles):
        raise ApplyError(f"{len(styles)} styles but {len(masks)} masks: give one mask a style, or none")
    made = _run(found, place, request, device)
    return Made(found.trial, _write(made, names, out, film))


def model_of(
    file: SuiteFile, place: stores.Stores, scale: str = "quick", only: Sequence[str] = (), where: str = ""
) -> Found:
    """The suite's finished trial that `apply` uses. Raises ApplyError saying what to run where there is none."""
    planned = plan.trials(file.suite, scale)
    specs = {t.task: find_task(t.task, file.suite.packages) for t in planned}
    named = set(only)
    chosen = plan.select(planned, where, only, file.suite)
    able = [t for t in chosen if specs[t.task].apply and (not named or t.experiment in named)]
    if not able:
        several = sorted({t.experiment for t in planned if specs[t.task].apply})
        raise ApplyError(
            f"no model of these can be applied to pictures; experiments with such models: {', '.join(several)}"
            if several
            else f"suite '{file.suite.suite}' trains no model that can be applied to pictures"
        )
    statuses = status.of(able, place, status.code_digests(file.suite))
    done = [t for t in able if statuses[t.id].state == "finished"]
    if not done:
        raise ApplyError(f"nothing is trained yet: bench run {file.suite.suite} --only {able[-1].experiment}")
    followed = {t.start for t in planned}

    def merit(trial: Trial) -> tuple[bool, float]:
        run = statuses[trial.id].run
        return trial.id in followed, (run.ended or 0.0) if run else 0.0

    best = max(done, key=merit)
    return Found(best, specs[best.task], statuses[best.id])


def _run(found: Found, place: stores.Stores, request: Request, device: str) -> list[np.ndarray]:
    from bench import tracking, training

    assert found.status.run is not None
    try:
        path = tracking.artifact(place.tracking, found.status.run, "model.pt", place.folder / "fetched")
    except FileNotFoundError as error:
        raise ApplyError(f"trial {found.trial.id} left no model: run it again") from error
    model = training.from_bytes(path.read_bytes())
    hook: Any = load(found.spec.apply)
    try:
        results: Iterator[np.ndarray] = iter(hook(model, dict(found.trial.settings), request, device))
        return list(results)
    except ValueError as error:
        raise ApplyError(str(error)) from error


def _contents(paths: Sequence[Path]) -> tuple[list[str], list[Image.Image], bool]:
    """File stems, pictures, and whether they are a film."""
    from bench.data import folder
    from bench.data.decode import read_rgb

    if not paths:
        raise ApplyError("no content: give a picture, a folder of frames or a film")
    if len(paths) == 1 and paths[0].is_dir():
        names = folder.files(paths[0])
        if not names:
            raise DataError(f"{paths[0]} holds no images")
        return [Path(n).stem for n in names], [read_rgb(paths[0] / n) for n in names], True
    if len(paths) == 1 and paths[0].suffix.lower() in FILMS:
        frames = list(_film(paths[0]))
        return [f"frame_{i:05d}" for i in range(1, len(frames) + 1)], frames, len(frames) > 1
    if folders := [p for p in paths if p.is_dir()]:
        raise ApplyError(f"{folders[0]} is a folder: give it alone, as the frames of a film")
    return [p.stem for p in paths], [read_rgb(p) for p in paths], False


def _film(path: Path) -> Iterator[Image.Image]:
    from PIL import Image, ImageSequence, UnidentifiedImageError

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix.lower() == ".gif":
        try:
            with Image.open(path) as opened:
                yield from (frame.convert("RGB") for frame in ImageSequence.Iterator(opened))
        except (OSError, UnidentifiedImageError, SyntaxError, EOFError) as error:
            raise DataError(f"{path} cannot be decoded: {error}") from error
        return
    try:
        import imageio.v3 as imageio

        frames = imageio.imiter(path, plugin="pyav")
        for number, frame in enumerate(frames):
            if number == LONGEST:
                raise DataError(f"{path} has more than {LONGEST} frames: cut it into pieces")
            yield Image.fromarray(frame).convert("RGB")
    except ImportError as error:
        raise DataError(f"{path}: reading films needs pyav: pip install 'imageio[pyav]', or give a folder") from error
    except OSError as error:
        raise DataError(f"{path} cannot be decoded: {error}") from error


def _style(word: str) -> Image.Image:
    """A style by name, or a picture's file."""
    from PIL import Image

    from bench.data import styles
    from bench.data.decode import read_rgb
    from bench.task import did_you_mean

    if word in styles.NAMES:
        return Image.fromarray(styles.load(word, styles.MASTER // 2))
    if not Path(word).exists():
        raise DataError(f"style '{word}' is no file and no embedded style{did_you_mean(word, styles.NAMES)}")
    return read_rgb(Path(word))


def _mask(path: Path, pictures: Sequence[Image.Image]) -> np.ndarray:
    """A grey image in the pictures' size, uint8 [H, W]; DataError unless its proportions are theirs."""
    import numpy as np
    from PIL import Image

    from bench.data.decode import read_rgb

    sizes = {p.size for p in pictures}
    if len(sizes) > 1:
        raise ApplyError("masks need contents of one size: give one content, or frames")
    (width, height), mask = next(iter(sizes)), read_rgb(path).convert("L")
    if abs(mask.width * height - mask.height * width) > 2 * max(width, height):
        raise DataError(f"the mask {path} is {mask.width}x{mask.height} pixels, the content {width}x{height}")
    return np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR))


def _limited(picture: Image.Image, size: int) -> Image.Image:
    """Reduced to a longer side of `size`, if it is larger."""
    from PIL import Image

    if size <= 0 or max(picture.size) <= size:
        return picture
    factor = size / max(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _equal_sizes(names: Sequence[str], pictures: Sequence[Image.Image]) -> None:
    for name, picture in zip(names, pictures, strict=True):
        if picture.size != pictures[0].size:
            (w, h), (fw, fh) = picture.size, pictures[0].size
            raise DataError(f"frame {name} is {w}x{h} pixels, the first {fw}x{fh}: make the frames equal")


def _array(picture: Image.Image) -> np.ndarray:
    import numpy as np

    return np.asarray(picture)


def _write(results: Sequence[np.ndarray], names: Sequence[str], out: Path, film: bool) -> list[Path]:
    """Encode everything, then write it under temporary names, then rename."""
    from PIL import Image

    pictures = [Image.fromarray(r) for r in results]
    suffix = out.suffix.lower()
    if film and suffix == ".gif":
        return [_finish({out: _encoded(pictures, "GIF")})[0]]
    if suffix in (".png", ".jpg", ".jpeg", ".webp", ".bmp"):
        if len(pictures) != 1:
            raise ApplyError(f"{len(pictures)} pictures do not fit in {out}: name a folder")
        return _finish({out: _encoded(pictures, {".jpg": "JPEG"}.get(suffix, suffix[1:].upper()))})
    stems = list(names)
    if len(set(stems)) < len(stems):  # a.png and a.jpg
        stems = [f"{stem}_{i}" for i, stem in enumerate(stems, 1)]
    return _finish({out / f"{s}.png": _encoded([p], "PNG") for s, p in zip(stems, pictures, strict=True)})


def _encoded(pictures: Sequence[Image.Image], kind: str) -> bytes:
    buffer = io.BytesIO()
    more: dict[str, Any] = {"save_all": True, "append_images": pictures[1:], "loop": 0, "duration": 60}
    pictures[0].save(buffer, kind, **(more if kind == "GIF" else {}))
    return buffer.getvalue()


def _finish(files: dict[Path, bytes]) -> list[Path]:
    temporary: list[tuple[str, Path]] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            temporary.append((name, path))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name, path in temporary:
            Path(name).replace(path)
    except OSError as error:
        for name, _ in temporary:
            Path(name).unlink(missing_ok=True)
        raise DataError(f"cannot write {error.filename or 'the results'}: {error.strerror}") from error
    return list(files)
