"""What a picture's file holds beside its colours, for its result to hold too: transparency, EXIF data, profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held; results are upright."""

TRANSPARENT = frozenset({".png", ".webp"})
"""File name endings of formats that hold transparency."""


@dataclass(frozen=True)
class Extras:
    """alpha: the transparency, upright, as a grey image. exif: without the orientation. profile: ICC, of RGB."""

    alpha: Image.Image | None = None
    exif: bytes = b""
    profile: bytes | None = None


NONE = Extras()


def of(path: Path) -> Extras:
    """What the file holds; nothing where it cannot be read, which is said by who reads its colours."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            clear = opened.mode in {"RGBA", "LA", "PA"} or "transparency" in opened.info
            profile = opened.info.get("icc_profile") if opened.mode in {"RGB", "RGBA"} else None
            alpha = ImageOps.exif_transpose(opened).convert("RGBA").getchannel("A") if clear else None
            exif = opened.getexif()
            exif.pop(ORIENTATION, None)
            return Extras(alpha, exif.tobytes() if len(exif) else b"", profile)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return NONE


def saved(picture: Image.Image, extras: Extras, suffix: str) -> tuple[Image.Image, dict[str, Any]]:
    """A result with its source's transparency, where the format holds it, and what `save` is to be told."""
    from PIL import Image

    options: dict[str, Any] = {}
    if extras.alpha is not None and suffix in TRANSPARENT:
        picture = picture.copy()
        picture.putalpha(extras.alpha.resize(picture.size, Image.Resampling.LANCZOS))
    if suffix in {".jpg", ".jpeg"}:
        options = {"quality": 95, "subsampling": 0}
    elif suffix == ".webp":
        options = {"quality": 95}
    if suffix != ".bmp":
        options |= {"exif": extras.exif} if extras.exif else {}
        options |= {"icc_profile": extras.profile} if extras.profile else {}
    return picture, options
