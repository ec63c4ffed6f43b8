"""From settings to networks: FANet's own, FocalNet from timm, DeepLabv3+ and encoders from segmentation_models_pytorch.

Sources: Yang et al., "Focal modulation networks", NeurIPS 2022 (the "lrf" variants, whose 28.6 M and 88.7 M
parameters are those of the paper's tables 3 and 4); Chen et al., "Encoder-decoder with atrous separable
convolution", ECCV 2018. All rows but DeepLabv3+ share one decoder, UPerNet, as in the paper.

timm and segmentation_models_pytorch are imported only for the networks that need them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from retable.bench.data import vision
from retable.bench.task import State
from retable.models.fanet import Classification, Cost, FanetShape, Supervised
from retable.models.fanet.backbone import FANet, Shape
from retable.models.fanet.upernet import Segmenter

FOCALNETS: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "focalnet_tiny": (96, (2, 2, 6, 2)),
    "focalnet_base": (128, (2, 2, 18, 2)),
}
"""Name -> width of the first stage and depths, at the published sizes."""


class Stages(nn.Module):
    """A timm network as a backbone: `stage_features` returns its stages' outputs, finest first."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def stage_features(self, x_B3HW: Tensor) -> list[Tensor]:
        found: list[Tensor] = cast(Any, self.net).forward_intermediates(x_B3HW, intermediates_only=True)
        return found


def segmenter(settings: Supervised | Cost, classes: int) -> nn.Module:
    """The network of a supervised row: images [B, 3, H, W] to scores [B, classes, H, W], H and W multiples of 32.

    With UPerNet it is a `Segmenter`, whose `forward_train` has the auxiliary scores too.
    """
    if settings.network == "deeplabv3plus":
        return deeplab(settings.encoder, classes, settings.decoder_channels, settings.dropout)
    auxiliary = settings.auxiliary_channels if isinstance(settings, Supervised) else 0
    backbone, widths = _backbone(settings)
    return Segmenter(backbone, widths, classes, settings.decoder_channels, auxiliary, settings.dropout)


def classifier(settings: Classification | Cost, classes: int) -> nn.Module:
    """The network that is pretrained: images [B, 3, H, W] to scores [B, classes]."""
    if settings.network == "fanet":
        return FANet(shape(settings), classes)
    if settings.network in FOCALNETS:
        return focalnet(settings, classes)
    made: nn.Module = _timm().create_model(settings.encoder, num_classes=classes)
    return made


def shape(settings: FanetShape) -> Shape:
    """The part of the settings that FANet is built from."""
    return Shape(
        widths=settings.widths,
        depths=settings.depths,
        kernels=settings.kernels,
        stem_stride=settings.stem_stride,
        scm=settings.scm,
        frm=settings.frm,
        bare=settings.bare,
        drop_path=settings.drop_path,
        init=settings.init,
    )


def focalnet(settings: Supervised | Classification | Cost, classes: int) -> nn.Module:
    """timm's FocalNet at its published size where `widths` and `depths` are FANet's published ones, else at theirs.

    A `stem_stride` of 2 makes its patches 2 x 2 instead of 4 x 4, so that all rows see one resolution.
    """
    vision.torchvision()
    from timm.models.focalnet import FocalNet

    width, depths = FOCALNETS[settings.network]
    if settings.widths != Shape.widths:
        width, depths = settings.widths[0], settings.depths
    net = FocalNet(
        embed_dim=width,
        depths=depths,
        focal_levels=(3,) * len(depths),
        focal_windows=(settings.focal_window,) * len(depths),
        drop_path_rate=settings.drop_path,
        num_classes=classes,
    )
    if settings.stem_stride != 4:
        net.stem.proj = nn.Conv2d(3, width, settings.stem_stride, settings.stem_stride)
    return cast(nn.Module, net)


def deeplab(encoder: str, classes: int, channels: int, dropout: float) -> nn.Module:
    """DeepLabv3+ on a ResNet of timm, output stride 16, not pretrained; `channels` (256) and `dropout` of its ASPP."""
    made: nn.Module = _smp().DeepLabV3Plus(
        f"tu-{encoder}",
        encoder_weights=None,
        classes=classes,
        decoder_channels=channels,
        decoder_aspp_dropout=dropout,
    )
    return made


def encoder(name: str, stride: int) -> tuple[nn.Module, list[int]]:
    """A ResNet of timm through segmentation_models_pytorch, with dilations for an output stride; channels by depth."""
    found = _smp().encoders.get_encoder(f"tu-{name}", weights=None, output_stride=stride)
    return cast(nn.Module, found), list(found.out_channels)


def load_backbone(network: nn.Module, start: State) -> None:
    """Weights of a pretrained classifier into the backbone or encoder of a segmentation network.

    start: what `waste_pretraining` leaves. Raises ValueError when it is of another network.
    """
    target = _inner_backbone(network)
    given: dict[str, Tensor] = dict(start["backbone"])
    wanted = target.state_dict()
    absent = [k for k in wanted if k not in given]
    wrong = [k for k in wanted if k in given and wanted[k].shape != given[k].shape]
    if absent or wrong:
        example = (absent or wrong)[0]
        raise ValueError(
            f"the pretrained weights are of another network: {len(absent)} of {len(wanted)} tensors are absent "
            f"and {len(wrong)} have another shape, as {example}; start from a trial with the same network settings"
        )
    target.load_state_dict({k: given[k] for k in wanted})


def to_device(network: nn.Module, device: str) -> None:
    """Move a network in place, its convolutions to channels-last order."""
    cast(Any, network).to(device, memory_format=torch.channels_last)


def compile_parts(network: nn.Module, backend: str = "inductor") -> None:
    """Let torch compile the stages and the decoder of a `Segmenter`, or another network as a whole, in place.

    Names in the state stay as they are. With torch's own backend the first step takes minutes.
    """
    parts: list[Any] = [network]
    if isinstance(network, Segmenter):
        backbone = cast(Any, network.backbone)
        stages = backbone.stages if isinstance(backbone, FANet) else backbone.net.layers
        parts = [*stages, network.decoder]
    for part in parts:
        part.compile(backend=backend, dynamic=False)  # stages share their code: torch would take sizes for variables


def macs(network: nn.Module, height: int, width: int) -> float:
    """Multiply-accumulates of one image in evaluation, in units of 10^9; matrix products and convolutions count.

    Worked out from shapes alone, on torch's meta device.
    """
    from torch.utils.flop_counter import FlopCounterMode

    ghost = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ghost(torch.empty(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops()) / 2e9


def parameters(network: nn.Module) -> float:
    """Weights in units of 10^6, without the auxiliary head that only training uses."""
    unused = getattr(network, "auxiliary", None)
    count = sum(p.numel() for p in network.parameters())
    return (count - sum(p.numel() for p in unused.parameters()) if isinstance(unused, nn.Module) else count) / 1e6


def _backbone(settings: Supervised | Cost) -> tuple[nn.Module, list[int]]:
    if settings.network == "fanet":
        return FANet(shape(settings)), list(settings.widths)
    net = cast(Any, focalnet(settings, 0))
    net.prune_intermediate_layers(list(range(len(net.layers))), prune_norm=True, prune_head=True)
    return Stages(net), [int(info["num_chs"]) for info in net.feature_info]


def _inner_backbone(network: nn.Module) -> nn.Module:
    """The module whose names are the classifier's."""
    inner = getattr(network, "backbone", None) or getattr(network, "encoder", None)
    if inner is None:
        raise TypeError(f"{type(network).__name__} has neither backbone nor encoder to start from")
    for name in ("net", "model"):  # `Stages`, segmentation_models_pytorch's wrapper
        inner = getattr(inner, name, inner)
    return cast(nn.Module, inner)


def _timm() -> Any:
    vision.torchvision()
    import timm

    return timm


def _smp() -> Any:
    vision.torchvision()
    import segmentation_models_pytorch as smp

    return smp
