"""FANet under timm's roof: `timm.create_model("fanet_tiny")`, `features_only`, and encoders of other libraries.

Importing this module registers the model; it is the only one here that does. Weights are not published for
download, so `pretrained=True` is an error of timm's own.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from retable.bench.data import vision

vision.torchvision()  # before timm, which imports it

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model  # noqa: E402

from retable.models.fanet.backbone import FANet, Shape  # noqa: E402

default_cfgs = generate_default_cfgs(
    {
        "fanet_tiny.untrained": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.9,
            "interpolation": "bicubic",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "first_conv": "stem",
            "classifier": "head",
        }
    }
)


@register_model  # type: ignore[untyped-decorator]
def fanet_tiny(pretrained: bool = False, **kwargs: Any) -> Any:
    """The paper's FANet: 36.72 M parameters with 1000 classes. Keywords of `Shape` change it."""
    return build_model_with_cfg(
        _make,
        "fanet_tiny",
        pretrained,
        feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"},
        **kwargs,
    )


def _make(
    num_classes: int = 1000, in_chans: int = 3, drop_path_rate: float = 0.1, global_pool: str = "avg", **shape: Any
) -> FANet:
    """timm's words to ours; an unknown keyword is an error."""
    if global_pool not in ("avg", ""):
        raise ValueError(f"FANet pools by the mean: global_pool is 'avg', not '{global_pool}'")
    known = {field.name for field in fields(Shape)}
    if unknown := sorted(set(shape) - known):
        raise TypeError(f"fanet_tiny has no setting '{unknown[0]}'; it has {', '.join(sorted(known))}")
    return FANet(Shape(drop_path=drop_path_rate, **shape), num_classes, in_chans)
