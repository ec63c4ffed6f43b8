"""Which type a task computes in: float32, or bfloat16 where the machine multiplies in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]


def computation_dtype(precision: Precision, device: str) -> torch.dtype:
    """The type of matrix products and convolutions; "auto" is bfloat16 where the hardware multiplies in it.

    Weights, statistics, losses and the optimizer stay in float32.
    """
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device != "cpu" else cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AVX512-BF16 or AMX); without it bfloat16 is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def facts(dtype: torch.dtype, loss_network: Mapping[str, Any]) -> dict[str, Any]:
    """What the losses of a task depend on beside its settings (`Task.facts`): the type used and the loss network."""
    return {"precision_used": "bf16" if dtype == torch.bfloat16 else "fp32", "loss_network": dict(loss_network)}
