"""FANet, the backbone: a stem, four stages of AFE blocks, and the classifier it is pretrained with.

Source: FANet (arXiv 2407.09379), section 3.1 and figure 3a. Widths, depths and kernels are the released
code's; with them the classifier has the published 36.7 M parameters and 5.8 G operations (tables 3 and 4).
`retable.models.fanet.timm_models` registers it with timm, whose `features_only` uses the three methods at the end.

Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from retable.models.fanet.blocks import Bare, Block, Frm, LayerNorm, Scm

Init = Literal["trunc02", "fan_in"]
"""Every weight from a normal of deviation 0.02 (the released code), or scaled by fan-in (torch's default)."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a FANet; the defaults are the paper's.

    widths, depths, kernels: per stage (kernel of the embedding). stem_stride: 4 in the paper; 2 keeps the
    resolution of small images. scm, frm, bare: the rows of table 2. drop_path: of the last block, growing
    linearly from 0.
    """

    widths: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (2, 2, 8, 2)
    kernels: tuple[int, ...] = (5, 5, 3, 3)
    stem_stride: int = 4
    mlp_ratio: int = 4
    scm: Scm = "7x7"
    frm: Frm = "both"
    bare: Bare = "plain"
    drop_path: float = 0.1
    init: Init = "trunc02"


class FANet(nn.Module):
    """Images [B, 3, H, W] to features of four stages, or to class scores.

    classes: of the classifier head; 0 for a backbone alone. `forward` then returns the pooled features.
    """

    num_features: int
    feature_info: list[dict[str, Any]]

    def __init__(self, shape: Shape | None = None, classes: int = 0, channels: int = 3) -> None:
        super().__init__()
        shape = shape or Shape()
        self.shape = shape
        widths = shape.widths
        self.stem = nn.Conv2d(channels, widths[0], 5, stride=shape.stem_stride, padding=2)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        total = sum(shape.depths)
        drops = iter([shape.drop_path * i / max(1, total - 1) for i in range(total)])
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(width, kernel, shape.mlp_ratio, next(drops), shape.scm, shape.frm, shape.bare)
                    for _ in range(depth)
                )
            )
            for width, depth, kernel in zip(widths, shape.depths, shape.kernels, strict=True)
        )
        self.num_classes, self.num_features = classes, widths[-1]
        self.norm: nn.Module = LayerNorm(widths[-1]) if classes else nn.Identity()
        self.head: nn.Module = nn.Linear(widths[-1], classes) if classes else nn.Identity()
        self.feature_info = [
            {"num_chs": width, "reduction": shape.stem_stride * 2**i, "module": f"stages.{i}"}
            for i, width in enumerate(widths)
        ]
        if shape.init == "trunc02":
            self.apply(_trunc02)

    def stage_features(self, x_B3HW: Tensor) -> list[Tensor]:
        """S1 ... S4 of figure 3a, as the decoder takes them: not normalised, strides 4, 8, 16, 32."""
        return list(self.forward_intermediates(x_B3HW, intermediates_only=True))

    def forward_features(self, x_B3HW: Tensor) -> Tensor:
        """S4, normalised where there is a classifier: [B, C, H / 32, W / 32]."""
        x_BCHW: Tensor = self.norm(self.stage_features(x_B3HW)[-1])
        return x_BCHW

    def forward_head(self, x_BCHW: Tensor, pre_logits: bool = False) -> Tensor:
        """Mean over positions, then the classifier unless `pre_logits`: [B, K] or [B, C]."""
        pooled_BC = F.adaptive_avg_pool2d(x_BCHW, 1).flatten(1)
        out: Tensor = pooled_BC if pre_logits else self.head(pooled_BC)
        return out

    def forward(self, x_B3HW: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x_B3HW))

    # What timm asks of a model that it wraps for features.

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head for `num_classes`; 0 takes head and norm away. The pooling is always the mean."""
        self.num_classes = num_classes
        self.norm = (
            (self.norm if isinstance(self.norm, LayerNorm) else LayerNorm(self.num_features))
            if (num_classes)
            else nn.Identity()
        )
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Features of the stages `indices` (all, the last n, or a list), and the last one beside them.

        timm's interface for `features_only`; only its NCHW format is there.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"FANet's features are NCHW, not '{output_fmt}'")
        wanted = self._indices(indices)
        found: list[Tensor] = []
        for i, stage in enumerate(self.stages):
            x = self.stem(x) if i == 0 else self.downs[i - 1](x)
            x = stage(x)
            if i in wanted:
                found.append(self.norm(x) if norm and i == len(self.stages) - 1 else x)
            if (stop_early or intermediates_only) and i == max(wanted):
                break
        return found if intermediates_only else (self.norm(x), found)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take away what the stages `indices` do not need; returns them as a list."""
        wanted = self._indices(indices)
        last = max(wanted)
        self.stages, self.downs = self.stages[: last + 1], self.downs[:last]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
        return wanted

    def _indices(self, indices: int | Sequence[int] | None) -> list[int]:
        count = len(self.stages)
        if indices is None:
            return list(range(count))
        if isinstance(indices, int):
            return list(range(count - indices, count))
        return sorted(i % count for i in indices)


def _trunc02(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
