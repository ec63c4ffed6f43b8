"""One's own pictures for `bench apply`: image files, folders and films in; images or an animation out.

Results are written into a folder of their own beside the target and moved there when all are made, so that a
failure leaves nothing half-written.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench.apply import extras
from retable.bench.data import DataError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FILMS = frozenset({".gif", ".mp4", ".avi", ".mov", ".mkv", ".webm"})
"""File name endings that are read as films."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
"""File name endings of single pictures that can be written."""

LONGEST = 10_000
"""A film has at most so many frames: all of them are held in memory, as small as `size` makes them."""

MILLISECONDS = 60
"""Of a frame of an animation that is written, where nothing says how long it was shown."""


@dataclass(frozen=True)
class Contents:
    """What is to be worked on: file stems and uint8 [H, W, 3] arrays; `film`: they are frames of one size.

    called: each for a person, with the size that its file has. extras: what its file holds beside its colours.
    milliseconds: how long each frame of a film is shown.
    """

    names: list[str]
    arrays: list[np.ndarray]
    film: bool
    called: list[str]
    extras: list[extras.Extras]
    milliseconds: list[int]
    reduced: list[str]


@dataclass(frozen=True)
class Target:
    """Where results go: a file a result, or (`animation`) one file for all; and what they take over of the contents."""

    files: list[Path]
    animation: bool
    contents: Contents


def read(paths: Sequence[Path], size: int = 0, film: bool = False) -> Contents:
    """Pictures, a folder of them, or one film, each reduced to a longer side of `size` (0: as it is).

    film: the pictures of a folder are frames, in the order of their names.
    Raises DataError naming the file that is missing, cut off, no image, or (a frame) of another size than the first.
    """
    import numpy as np

    film = film or (len(paths) == 1 and paths[0].suffix.lower() in FILMS)
    found = Contents([], [], film, [], [], [], [])
    names = found.names
    first: tuple[int, int] | None = None
    for name, picture, path in _opened(paths):
        first = first or picture.size
        if film and picture.size != first:
            (w, h), (fw, fh) = picture.size, first
            raise DataError(f"frame {name} is {w}x{h} pixels, the first {fw}x{fh}: make the frames equal")
        if len(names) == LONGEST:
            raise DataError(f"{paths[0]} has more than {LONGEST} frames: cut it into pieces")
        small, called = limited(picture, size), f"{path or name} ({picture.width}x{picture.height})"
        if small.size != picture.size:
            found.reduced.append(f"{called} is worked on at {small.width}x{small.height}")
        names.append(name)
        found.arrays.append(np.asarray(small))
        found.called.append(called)
        found.extras.append(extras.of(path) if path and not film else extras.NONE)
        found.milliseconds.append(int(picture.info.get("duration") or MILLISECONDS))
    return replace(found, film=film and len(names) > 1)


def style(word: str, size: int = 0) -> np.ndarray:
    """A style by name, or a picture's file; uint8 [H, W, 3]. Raises DataError."""
    import numpy as np
    from PIL import Image

    from retable.bench.data import styles
    from retable.bench.data.decode import read_rgb
    from retable.bench.task import did_you_mean

    if word in styles.NAMES:
        return np.asarray(limited(Image.fromarray(styles.load(word, styles.MASTER // 2)), size))
    if not Path(word).exists():
        raise DataError(f"style '{word}' is no file and no embedded style{did_you_mean(word, styles.NAMES)}")
    return np.asarray(limited(read_rgb(Path(word)), size))


def mask(path: Path, contents: Contents) -> np.ndarray:
    """A grey image in the contents' size, uint8 [H, W].

    Raises DataError unless its proportions are theirs and they are of one size.
    """
    import numpy as np
    from PIL import Image

    from retable.bench.data.decode import read_rgb

    if len({a.shape for a in contents.arrays}) > 1:
        raise DataError("masks need contents of one size: give one content, or frames")
    height, width = contents.arrays[0].shape[:2]
    grey = read_rgb(path).convert("L")
    if abs(grey.width * height - grey.height * width) > 2 * max(width, height):
        raise DataError(f"the mask {path} is {grey.width}x{grey.height} pixels, the content {width}x{height}")
    return np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR))


def limited(picture: Image.Image, size: int) -> Image.Image:
    """Reduced to a longer side of `size`, if it is larger."""
    from PIL import Image

    if size <= 0 or max(picture.size) <= size:
        return picture
    factor = size / max(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def target(contents: Contents, out: Path, inputs: Iterable[Path] = ()) -> Target:
    """The files that the results of `contents` go to: `out` itself, or files in the folder `out`.

    Raises DataError where they do not fit there, or one of them is an input.
    """
    from retable.bench.data.decode import SUFFIXES

    suffix = out.suffix.lower()
    if suffix == ".gif" and contents.film:
        found = Target([out], True, contents)
    elif suffix in FORMATS:
        if len(contents.names) != 1:
            raise DataError(f"{len(contents.names)} pictures do not fit in {out}: name a folder")
        found = Target([out], False, contents)
    elif suffix in FILMS | SUFFIXES or out.is_file():
        ways = ".gif" if contents.film else ", ".join(FORMATS)
        raise DataError(f"cannot write {out}: name a folder, or a file that ends in {ways}")
    else:
        stems = list(contents.names)
        if len(set(stems)) < len(stems):  # a.png and a.jpg
            stems = [f"{stem}_{i}" for i, stem in enumerate(stems, 1)]
        found = Target([out / f"{stem}.png" for stem in stems], False, contents)
    taken = {p.resolve() for p in inputs}
    for file in found.files:
        if file.resolve() in taken:
            raise DataError(f"{file} is one of the inputs: write somewhere else")
    return found


def write(results: Iterable[np.ndarray], where: Target) -> list[Path]:
    """Write uint8 [H, W, 3] results as they come, then move all to their places.

    Raises DataError naming the file that cannot be written; what `results` raises passes through. Nothing is left
    behind in either case.
    """
    folder = next(p for p in where.files[0].absolute().parents if p.is_dir())
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".bench-apply.", dir=folder))
        try:
            made = _animation(results, where, scratch) if where.animation else _files(results, where, scratch)
            for temporary, file in zip(made, where.files, strict=True):
                file.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(file)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or 'the results'}: {error.strerror or error}") from error
    return where.files


def _files(results: Iterable[np.ndarray], where: Target, scratch: Path) -> list[Path]:
    from PIL import Image

    made = []
    for i, (result, file, more) in enumerate(zip(results, where.files, where.contents.extras, strict=True)):
        temporary = scratch / f"{i}{file.suffix}"
        picture, options = extras.saved(Image.fromarray(result), more, file.suffix.lower())
        picture.save(temporary, FORMATS[file.suffix.lower()], **options)
        made.append(temporary)
    return made


def _animation(results: Iterable[np.ndarray], where: Target, scratch: Path) -> list[Path]:
    from PIL import Image

    frames = [Image.fromarray(r) for r in results]
    temporary = scratch / "film.gif"
    shown = where.contents.milliseconds
    more: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "loop": 0, "duration": shown}
    frames[0].save(temporary, "GIF", **more)
    return [temporary]


def _opened(paths: Sequence[Path]) -> Iterator[tuple[str, Image.Image, Path | None]]:
    """File stem (or frame_00001), picture and, if it has one of its own, file of everything in `paths`."""
    from retable.bench.data import folder
    from retable.bench.data.decode import read_rgb

    if not paths:
        raise DataError("no content: give a picture, a folder of frames or a film")
    if len(paths) == 1 and paths[0].is_dir():
        names = folder.files(paths[0])
        if not names:
            raise DataError(f"{paths[0]} holds no images")
        yield from ((Path(n).stem, read_rgb(paths[0] / n), paths[0] / n) for n in names)
    elif len(paths) == 1 and paths[0].suffix.lower() in FILMS:
        frames = _gif(paths[0]) if paths[0].suffix.lower() == ".gif" else _film(paths[0])
        yield from ((f"frame_{i:05d}", frame, None) for i, frame in enumerate(frames, 1))
    else:
        if folders := [p for p in paths if p.is_dir()]:
            raise DataError(f"{folders[0]} is a folder: give it alone")
        yield from ((p.stem, read_rgb(p), p) for p in paths)


def _gif(path: Path) -> Iterator[Image.Image]:
    from PIL import Image, ImageSequence

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        with Image.open(path) as opened:
            for frame in ImageSequence.Iterator(opened):
                above = frame.convert("RGBA")  # transparency is laid on white, as with single pictures
                whole = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")
                whole.info["duration"] = frame.info.get("duration")
                yield whole
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:  # what Pillow's
        # decoder raises on damage; IndexError where the file ends between two frames
        raise DataError(f"{path} cannot be decoded: {error}") from error


def _film(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        import imageio.v3 as imageio
        from av.error import FFmpegError
    except ImportError as error:
        raise DataError(f"{path}: reading films needs PyAV: pip install av, or give a folder of frames") from error
    count = 0
    try:
        rate = float(imageio.immeta(path, plugin="pyav").get("fps") or 0)
        for count, frame in enumerate(imageio.imiter(path, plugin="pyav"), 1):  # noqa: B007
            picture = Image.fromarray(frame).convert("RGB")
            picture.info["duration"] = round(1000 / rate) if rate else None
            yield picture
    except (OSError, FFmpegError) as error:
        raise DataError(f"{path} cannot be decoded: {error}") from error
    if not count:
        raise DataError(f"{path} holds no frames")
