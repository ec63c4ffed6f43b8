"""MPI Sintel in its official layout: frames of an animated film with their optical flow.

Butler, Wulff, Stanley and Black, "A Naturalistic Open Source Movie for Optical Flow Evaluation", ECCV 2012;
http://sintel.is.tue.mpg.de. The set lies in `root()/sintel` (or wherever `$RETABLE_SINTEL` points) as
`training/{clean,final}/SCENE/frame_0001.png`, `training/flow/SCENE/frame_0001.flo` and
`training/occlusions/SCENE/frame_0001.png`.

Its flow goes from each frame to the next; warping needs the way back, which is made by carrying the flow along
itself. What is hidden in the next frame is left out by the set's own occlusion maps.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retable.bench.data.download import Remote, Watcher, download, quiet
from retable.bench.data.source import DataError, Source, root
from retable.bench.data.video import Clip

if TYPE_CHECKING:
    import zipfile

    import numpy as np
    from PIL import Image

Pass = Literal["clean", "final"]

REMOTE = Remote("http://files.is.tue.mpg.de/sintel/MPI-Sintel-complete.zip")
"""Its publisher gives neither size nor checksum; the archive's own checksums are verified when it is unpacked."""

ABOUT_BYTES = 5_600_000_000

VERSION = "2012-complete"
FLO_MAGIC = 202021.25
FOLDERS = ("clean", "final", "flow", "occlusions")


def home() -> Path:
    """Folder of the set: `$RETABLE_SINTEL`, else `root()/sintel`."""
    given = os.environ.get("RETABLE_SINTEL")
    return Path(given).expanduser().resolve() if given else root() / "sintel"


def missing() -> str | None:
    """None when frames, flow and occlusions of at least one scene are there, else what gets them."""
    absent = [name for name in FOLDERS if not _has_scenes(home() / "training" / name)]
    if not absent:
        return None
    return (
        f"sintel: no scenes in {home() / 'training'} ({', '.join(absent)}): bench data get sintel, "
        "or point RETABLE_SINTEL to a folder with the official layout"
    )


def scenes() -> list[str]:
    """Names of the training scenes that are here. Raises DataError if there are none."""
    if (message := missing()) is not None:
        raise DataError(message)
    return sorted(entry.name for entry in os.scandir(home() / "training" / "flow") if entry.is_dir())


def load(scene: str, frames: int, height: int, width: int, *, render: Pass = "clean", first: int = 1) -> Clip:
    """Frames `first` ... of a training scene, resized to [height, width], with the flow back and its validity.

    Raises DataError if the set or a file of it is missing or damaged, LookupError for an unknown scene,
    ValueError where the scene is too short.
    """
    import numpy as np
    from PIL import Image

    known = scenes()
    if scene not in known:
        from retable.bench.task import did_you_mean

        raise LookupError(f"unknown scene '{scene}'{did_you_mean(scene, known)}")
    base = home() / "training"
    there = len(list((base / render / scene).glob("frame_*.png")))
    if frames < 2 or first + frames - 1 > there:
        raise ValueError(f"scene '{scene}' has {there} frames; from {first} on it can't give {frames} (at least 2)")
    names = [f"frame_{number:04d}" for number in range(first, first + frames)]
    pictures = [_picture(base / render / scene / f"{name}.png") for name in names]
    small = [np.asarray(p.resize((width, height), Image.Resampling.LANCZOS)) for p in pictures]
    flows, valid = [], []
    for name in names[:-1]:
        forward = read_flo(base / "flow" / scene / f"{name}.flo")
        hidden = np.asarray(_picture(base / "occlusions" / scene / f"{name}.png"))[..., 0] > 127
        if forward.shape[1:] != hidden.shape:
            raise DataError(f"scene '{scene}', {name}: flow and occlusions differ in size")
        back, known_there = reversed_flow(forward, ~hidden)
        flows.append(_resized_flow(back, height, width))
        valid.append(_resized_mask(known_there, height, width))
    return Clip(np.stack(small), np.stack(flows), np.stack(valid)[:, None])


def read_flo(path: Path) -> np.ndarray:
    """A Middlebury .flo file as float32 [2, H, W], (right, down). Raises DataError naming a file that is none."""
    import numpy as np

    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the flow {path} ({error.strerror}): bench data get sintel") from error
    if len(content) < 12 or np.frombuffer(content, "<f4", 1)[0] != np.float32(FLO_MAGIC):
        raise DataError(f"{path} is no .flo file")
    width, height = (int(n) for n in np.frombuffer(content, "<i4", 2, 4))
    if not (0 < width < 1 << 15 and 0 < height < 1 << 15) or len(content) != 12 + 8 * width * height:
        raise DataError(f"{path} is damaged: {len(content)} bytes for {width}x{height} pixels")
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1).copy()


def reversed_flow(forward: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow back, [2, H, W], and where it is known, bool [H, W].

    forward: [2, H, W]. visible: bool [H, W], the pixels that are still seen in the next frame. Each carries its
    flow to the four pixels around where it lands; where too little lands, nothing is known.
    """
    import numpy as np

    _, height, width = forward.shape
    y, x = np.nonzero(visible)
    u, v = forward[0][y, x], forward[1][y, x]
    total, weight = np.zeros((2, height * width)), np.zeros(height * width)
    left, top = np.floor(x + u).astype(np.int64), np.floor(y + v).astype(np.int64)
    for dy in (0, 1):
        for dx in (0, 1):
            tx, ty = left + dx, top + dy
            share = (1 - np.abs(x + u - tx)) * (1 - np.abs(y + v - ty))
            within = (tx >= 0) & (tx < width) & (ty >= 0) & (ty < height) & (share > 0)
            place = ty[within] * width + tx[within]
            weight += np.bincount(place, share[within], height * width)
            for c, component in enumerate((u, v)):
                total[c] += np.bincount(place, share[within] * component[within], height * width)
    known = weight > 0.5
    back = np.where(known, -total / np.maximum(weight, 1e-9), 0)
    return back.reshape(2, height, width).astype(np.float32), known.reshape(height, width)


def _resized_flow(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    import numpy as np
    from PIL import Image

    factor = (width / flow.shape[2], height / flow.shape[1])
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR) for plane in flow]
    return np.stack([np.asarray(p) * f for p, f in zip(planes, factor, strict=True)]).astype(np.float32)


def _resized_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """True where every pixel that the smaller one is made of is."""
    import numpy as np
    from PIL import Image

    share = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(share) > 0.999


def _picture(path: Path) -> Image.Image:
    from retable.bench.data.decode import read_rgb

    return read_rgb(path)


def get(*, progress: Watcher = quiet, keep_archive: bool = False) -> None:
    """Download the complete set (some 5.6 GB), verify and unpack its training part; goes on where it broke off."""
    from filelock import FileLock

    root().mkdir(parents=True, exist_ok=True)
    with FileLock(root() / ".sintel.lock"):
        if missing() is None:
            return
        archive = home() / "MPI-Sintel-complete.zip"
        download(REMOTE, archive, progress=progress)
        _unpack(archive, home(), progress)
        if not keep_archive:
            archive.unlink()


def _unpack(archive: Path, target: Path, progress: Watcher) -> None:
    """`training/` of the archive into `target`; it appears when it is complete."""
    import zipfile

    unpacking = target / "training.unpacking"
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if _wanted(info)]
            if not members:
                raise DataError(f"{archive} holds no training/: delete it and try again")
            for done, info in enumerate(members, 1):
                file = unpacking.joinpath(*Path(info.filename).parts[-3:])
                file.parent.mkdir(parents=True, exist_ok=True)
                if not (file.is_file() and file.stat().st_size == info.file_size):
                    with opened.open(info) as source, file.open("wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)
                if done % 100 == 0 or done == len(members):
                    progress("unpack sintel", done, len(members))
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is damaged ({error}): delete it and try again") from error
    unpacking.rename(target / "training")


def _wanted(info: zipfile.ZipInfo) -> bool:
    """A file of training/FOLDER/SCENE/, wherever the archive has its `training`."""
    parts = Path(info.filename).parts
    return len(parts) >= 4 and parts[-4] == "training" and parts[-3] in FOLDERS and not info.is_dir()


def _has_scenes(folder: Path) -> bool:
    try:
        return any(entry.is_dir() for entry in os.scandir(folder))
    except OSError:
        return False


SOURCE = Source(
    name="sintel",
    about="MPI Sintel: 23 training scenes of an animated film with optical flow and occlusions",
    licence="CC BY 3.0 (Blender Foundation, www.sintel.org); flow: as http://sintel.is.tue.mpg.de states",
    version=lambda: VERSION,
    missing=missing,
    get=get,
    embedded=False,
    url="http://sintel.is.tue.mpg.de",
    size_bytes=ABOUT_BYTES,
)
