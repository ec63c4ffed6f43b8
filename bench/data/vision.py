"""torchvision, imported so that it works beside a CPU-only torch: the only module that may import it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_declared: list[object] = []
"""Keeps the library object of the shim alive: its operators vanish when it is collected."""


def torchvision() -> ModuleType:
    """The torchvision module.

    The torchvision wheel on PyPI carries CUDA kernels. Beside a CPU-only torch its extension cannot load
    and leaves `torchvision::nms` undeclared, and the import ends with a RuntimeError that names it
    (pytorch/vision issues 9077 and 9085). Only then the two operators that the import needs are declared
    here, without kernels, and the import is repeated. Models and transforms then work; calling
    `torchvision.ops.nms` itself still raises, and so does `torchvision.io`: read images with Pillow. A
    sound installation never gets that far. Raises ImportError, or whatever else is wrong with the wheel.
    """
    try:
        return _import()
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    _declare_operators()
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    return _import()


def _import() -> ModuleType:
    import torchvision  # noqa: TID251
    import torchvision.models  # noqa: TID251
    import torchvision.transforms.v2  # noqa: TID251

    module: ModuleType = torchvision
    return module


def _declare_operators() -> None:
    """The signatures of torchvision's own `ops` (torchvision/csrc/ops/nms.cpp and quantized nms)."""
    if _declared:
        return
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
