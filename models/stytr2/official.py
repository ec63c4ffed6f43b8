"""StyTR-2's released weights in this project's network: `pretrained: file:FOLDER`.

The release (github.com/diyiiyiii/StyTR-2) is three files of `torch.save`: the patch embedding, the transformer, the
decoder. Their names start with "embedding" or "vit_embedding", "transformer" and "decoder", in any case.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

PARTS = {"embedding": ("embedding", "vit_embedding"), "transformer": ("transformer",), "decoder": ("decoder",)}

RENAMED = (
    (r"encoder_c\.layers\.", "content_encoder."),
    (r"encoder_s\.layers\.", "style_encoder."),
    (r"decoder\.layers\.(\d+)\.self_attn\.", r"decoder.\1.attention1."),
    (r"decoder\.layers\.(\d+)\.multihead_attn\.", r"decoder.\1.attention2."),
    (r"decoder\.layers\.", "decoder."),
    (r"decoder\.norm\.", "final_norm."),
    (r"new_ps\.", "cape.position."),
    (r"\.self_attn\.", ".attention."),
    (r"\.in_proj_", ".inner."),
    (r"\.out_proj\.", ".outer."),
    (r"\.linear1\.", ".ffn.inner."),
    (r"\.linear2\.", ".ffn.outer."),
)
"""Of the transformer's keys, in this order."""


def read(folder: Path, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The three files of `folder` under the names of `ours`, the state of a generator of the original's form.

    Raises ValueError: with the folder if a file is missing or there are two, with the first tensors that do not fit.
    """
    found: dict[str, Tensor] = {}
    for part, path in files(folder).items():
        state = torch.load(path, map_location="cpu", weights_only=True)
        found |= dict(_named(part, {key.removeprefix("module."): value for key, value in state.items()}, ours))
    found |= {f"style_patches.{name}": found[f"content_patches.{name}"] for name in ("weight", "bias")}
    wrong = [
        key for key in {**ours, **found} if key not in found or key not in ours or found[key].shape != ours[key].shape
    ]
    if wrong:
        raise ValueError(
            f"{folder}: not the weights of this network: {', '.join(sorted(wrong)[:4])} ({len(wrong)} in all). The "
            "released ones are of width 512, patches of 8, 8 heads, 3 layers a stack"
        )
    return found


def files(folder: Path) -> dict[str, Path]:
    """The file of each part."""
    there = sorted(folder.glob("*.pth")) if folder.is_dir() else []
    found = {}
    for part, words in PARTS.items():
        fitting = [path for path in there if path.name.lower().startswith(words)]
        if len(fitting) != 1:
            raise ValueError(
                f"{folder}: {len(fitting)} files {' or '.join(f'{word}*.pth' for word in words)}, one is needed: the "
                "three of https://github.com/diyiiyiii/StyTR-2"
            )
        found[part] = fitting[0]
    return found


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, for the record."""
    return {part: hashlib.sha256(path.read_bytes()).hexdigest() for part, path in files(folder).items()}


def _named(part: str, state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    if part == "decoder":
        # A plain sequence in both, with other layers between the convolutions.
        theirs = sorted({int(key.partition(".")[0]) for key in state})
        places = sorted({int(key.split(".")[1]) for key in ours if key.startswith("pixels.")})
        mine = dict(zip(theirs, places, strict=False))
        for key, value in state.items():
            number, _, name = key.partition(".")
            yield f"pixels.{mine.get(int(number), number)}.{name}", value
        return
    for key, value in state.items():
        name = key.replace("proj.", "content_patches.") if part == "embedding" else key
        for pattern, new in RENAMED if part == "transformer" else ():
            name = re.sub(pattern, new, name)
        yield name, value
