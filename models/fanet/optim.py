"""Optimizers, learning rates by step, and losses over pixels.

Sources: FANet (arXiv 2407.09379), section 4.2 (AdamW, polynomial decay); its released configuration (power 0.95,
lowest rate 1e-7, 1500 steps of linear warm-up); DeepLab (hard pixels). Which of them a run uses is its suite's word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.bench.data.zerowaste import IGNORE
from retable.models.fanet import Segmentation


def optimizer(settings: Segmentation, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW with betas 0.9 and 0.999, or SGD with Nesterov's momentum; one weight decay for all."""
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    nesterov = settings.momentum > 0
    return torch.optim.SGD(
        parameters, settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=nesterov
    )


def rate(settings: Segmentation, step: int) -> float:
    """Learning rate of update `step` (from 0): warm-up, then polynomial decay to `min_lr` or a tenth per milestone."""
    progress = step / settings.steps
    if settings.schedule == "poly":
        lr = (settings.lr - settings.min_lr) * float((1 - progress) ** settings.power) + settings.min_lr
    else:
        lr = settings.lr * float(0.1 ** sum(progress >= milestone for milestone in settings.milestones))
    if step < settings.warmup_steps:
        lr *= 1 - (1 - step / settings.warmup_steps) * (1 - settings.warmup_ratio)
    return lr


def set_rate(chosen: torch.optim.Optimizer, lr: float) -> None:
    for group in chosen.param_groups:
        group["lr"] = lr


def cross_entropy(
    scores_BKHW: Tensor,
    target_BHW: Tensor,
    weight_K: Tensor | None = None,
    hardest: float = 1.0,
    counted: Callable[[Tensor], Tensor] = lambda total: total,
) -> Tensor:
    """Mean cross-entropy over the pixels that are not `IGNORE`d; a float32 scalar, 0 where all are.

    weight: per class; the mean is then weighted. hardest: share of the pixels, those with the largest loss, that
    the mean is of. counted: from this batch's number (or weight) of pixels to the one that is divided by, where the
    batch is a share of a larger one.
    """
    loss_BHW = F.cross_entropy(scores_BKHW.float(), target_BHW, weight_K, ignore_index=IGNORE, reduction="none")
    kept = target_BHW != IGNORE
    if hardest < 1:
        some = loss_BHW[kept]
        best: Tensor = some.topk(max(1, int(hardest * some.numel()))).values if some.numel() else some
        return best.sum() / max(1, best.numel())
    total = kept.sum() if weight_K is None else weight_K[target_BHW.clamp(max=len(weight_K) - 1)][kept].sum()
    return loss_BHW.sum() / counted(total.float()).clamp(min=1e-12)
