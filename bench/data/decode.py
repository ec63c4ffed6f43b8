"""Any image file to RGB bytes, and the square that a network sees of it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from retable.bench.data.source import DataError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
"""File name endings, lower case, that count as images in a folder."""


def read_rgb(path: Path) -> Image.Image:
    """The first frame of an image file as 8-bit RGB, upright.

    EXIF orientation is applied; transparency is laid on white; 16-bit and float greys are scaled to
    8 bits; grey is repeated over the channels. Raises DataError naming the file if it is missing, cut
    off, not an image or too large to be one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            return _to_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large to decode safely: {error}") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
    ) as error:  # what Pillow's decoders raise on damage
        raise DataError(f"{path} cannot be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    import numpy as np
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float64)
        # Pillow opens 16-bit PNGs as "I" or "I;16"; floats and wider integers have no fixed range of their own.
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            low, high = values.min(), values.max()
            values = (values - low) * (255 / (high - low) if high > low else 0)
        else:
            values = values / 257
        return Image.fromarray(np.floor(values + 0.5).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa"} or "transparency" in image.info:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def square(image: Image.Image, size: int) -> np.ndarray:
    """The short side resized to `size`, the centre cropped: uint8 [size, size, 3].

    As torchvision's Resize(size) and CenterCrop(size): anti-aliased bilinear, long side cut to an integer.
    """
    import numpy as np
    from PIL import Image

    short = min(image.size)
    width, height = (max(size, side * size // short) for side in image.size)
    small = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(small.crop((left, top, left + size, top + size)))
