"""Segmentation quality from one confusion matrix over a whole data set.

Source: FANet (arXiv 2407.09379), section 4.1, after ZeroWaste (CVPR 2022): mean intersection over union of the
five classes, background included, and pixel accuracy. The mean over images of per-image scores is another number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def confusion(prediction: Tensor, truth: Tensor, classes: int, ignore: int = 255) -> Tensor:
    """Pixel counts [classes, classes] (int64; rows predicted, columns true); `ignore`d true pixels left out.

    prediction, truth: integer tensors of one shape. Raises ValueError for an index that is no class.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
    kept = truth != ignore
    rows, columns = prediction[kept].long(), truth[kept].long()
    for name, index in (("prediction", rows), ("truth", columns)):
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < classes:
            raise ValueError(f"the {name} holds an index outside 0 to {classes - 1}")
    return torch.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """In percent. iou: per class, nan for one that is neither predicted nor true; the means leave those out."""

    miou: float
    pixel_accuracy: float
    class_accuracy: float
    weighted_iou: float
    iou: tuple[float, ...]


def scores(matrix: Tensor | Sequence[Sequence[int]]) -> Scores:
    """Scores of a confusion matrix (rows predicted, columns true).

    A class that is absent from the truth but predicted counts with an IoU of 0. Raises ValueError when the
    matrix is empty: nothing was evaluated.
    """
    counts = torch.as_tensor(matrix).double()
    total = counts.sum()
    if total == 0:
        raise ValueError("the confusion matrix is empty: no pixel was evaluated (is every one ignored?)")
    hits, predicted, true = counts.diagonal(), counts.sum(1), counts.sum(0)
    iou = hits / (predicted + true - hits)  # 0 / 0 is nan: the class does not occur
    accuracy = hits / true
    return Scores(
        miou=100 * float(iou.nanmean()),
        pixel_accuracy=100 * float(hits.sum() / total),
        class_accuracy=100 * float(accuracy.nanmean()),
        weighted_iou=100 * float((iou.nan_to_num() * true).sum() / total),
        iou=tuple(100 * v for v in iou.tolist()),
    )


def named(found: Scores, classes: Sequence[str]) -> dict[str, float]:
    """Scores under the names that a suite uses; a class without an IoU is left out."""
    per_class = {f"iou/{name}": v for name, v in zip(classes, found.iou, strict=True) if not math.isnan(v)}
    return {
        "quality/miou": found.miou,
        "quality/pixel_accuracy": found.pixel_accuracy,
        "quality/class_accuracy": found.class_accuracy,
        **per_class,
    }
