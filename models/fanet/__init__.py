"""FANet: segmentation of cluttered scenes with amplified features, its ablations and its rivals.

Source: Ali et al., "FANet: Feature Amplification Network for Semantic Segmentation in Cluttered Background",
ICIP 2024, arXiv 2407.09379. This module is torch-free: the tasks and their settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from retable.bench.data.zerowaste import CLASSES
from retable.bench.task import Metric, Settings, TaskSpec

Network = Literal["fanet", "focalnet_tiny", "focalnet_base", "deeplabv3plus"]
Data = Literal["clutter", "zerowaste-f"]


class FanetShape(Settings):
    """Sizes and switches of a FANet; see `retable.models.fanet.backbone.Shape`. Defaults: the paper's."""

    widths: tuple[int, ...] = Field((96, 192, 384, 768), description="channels per stage; FocalNet takes the first")
    depths: tuple[int, ...] = Field((2, 2, 8, 2), description="blocks per stage")
    kernels: tuple[int, ...] = Field((5, 5, 3, 3), description="kernel of the convolutional embedding per stage")
    stem_stride: Literal[2, 4] = 4
    scm: Literal["off", "7x7", "3x3", "3x3-dense", "depthwise"] = "7x7"
    frm: Literal["off", "high", "low", "both"] = "both"
    bare: Literal["plain", "projected"] = Field("plain", description="what a block without SCM and FRM keeps")
    drop_path: float = Field(0.1, ge=0, lt=1, description="stochastic depth of the last block, linear from 0")
    init: Literal["trunc02", "fan_in"] = "trunc02"

    @model_validator(mode="after")
    def _one_per_stage(self) -> FanetShape:
        if not len(self.widths) == len(self.depths) == len(self.kernels):
            raise ValueError("widths, depths and kernels need one number per stage each")
        if any(width % 8 for width in self.widths):
            raise ValueError("widths must be multiples of 8: half of each is split into four groups")
        return self


class Segmentation(Settings):
    """Data, training and evaluation that every segmentation task shares."""

    data: Data
    image_size: int = Field(64, ge=32, description="pixels a side of clutter's frames")
    train_images: int = Field(768, ge=1, description="of clutter")
    val_images: int = Field(64, ge=1, description="of clutter")
    test_images: int = Field(192, ge=1, description="of clutter")
    unlabelled_images: int = Field(0, ge=0, description="of clutter, for the semi-supervised tasks")

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2, description="batch normalisation needs two")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    schedule: Literal["poly", "steps"] = "poly"
    power: float = Field(1.0, gt=0, description="of the polynomial decay")
    min_lr: float = Field(0.0, ge=0)
    warmup_steps: int = Field(0, ge=0, description="linear warm-up")
    warmup_ratio: float = Field(1e-6, ge=0, le=1, description="share of the rate that warm-up begins with")
    milestones: tuple[float, ...] = Field((0.2, 0.4, 0.6, 0.9), description="schedule 'steps': rate x 0.1 after each")
    class_weights: Literal["none", "median"] = Field("none", description="in the loss: median frequency over own")

    resize: Literal["off", "bounds"] = Field("off", description="scale frames into resize_long x resize_short")
    resize_long: int = Field(2048, ge=1)
    resize_short: int = Field(512, ge=1)
    ratio_low: float = Field(1.0, gt=0, description="frames are further scaled by a random ratio")
    ratio_high: float = Field(1.0, gt=0)
    crop_height: int = Field(64, ge=16)
    crop_width: int = Field(64, ge=16)
    crop_category: float = Field(1.0, gt=0, le=1, description="largest share of one class in a crop")
    photometric: Literal["on", "off"] = "off"
    rotate: float = Field(0.0, ge=0, le=180, description="degrees")

    split: Literal["val", "test"] = Field("test", description="what is evaluated at the end")
    divisor: int = Field(32, ge=1, description="sides of test frames are scaled up to multiples of it")
    keep: Literal["last", "best"] = Field("last", description="which weights are evaluated: 'best' on val")
    validate_every: int = Field(0, ge=0, description="steps between validations for keep 'best'")
    pictures: int = Field(3, ge=1, description="frames shown in pictures")
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = Field(0, ge=0, description="processes that prepare batches ahead")

    @model_validator(mode="after")
    def _consistent(self) -> Segmentation:
        if self.ratio_low > self.ratio_high:
            raise ValueError(f"ratio_low ({self.ratio_low}) must not be above ratio_high ({self.ratio_high})")
        if self.keep == "best" and not self.validate_every:
            raise ValueError("keep 'best' needs validate_every: the steps between two validations")
        return self


class Supervised(Segmentation, FanetShape):
    """A network under UPerNet (or DeepLabv3+), trained on the labelled frames."""

    network: Network = "fanet"
    encoder: str = Field("resnet101", description="of DeepLabv3+: a ResNet of timm")
    focal_window: int = Field(3, ge=1, description="of FocalNet: size of the finest context")
    decoder_channels: int = Field(256, ge=1)
    auxiliary_channels: int = Field(256, ge=0, description="of the auxiliary head on stage 3; 0: none")
    auxiliary_weight: float = Field(0.5, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1, description="before the last convolution (ASPP's in DeepLabv3+)")
    hard_pixels: float = Field(1.0, gt=0, le=1, description="share of pixels, the worst, that the loss is made of")
    compile: Literal["on", "off"] = "off"


class CrossConsistency(Segmentation):
    """CCT (Ouali, Hudelot and Tami, CVPR 2020): a shared encoder, decoders that must agree under perturbation."""

    encoder: str = Field("resnet50", description="a ResNet of timm")
    decoder_channels: int = Field(512, ge=8, description="of the pyramid pooling's output")
    unsupervised_weight: float = Field(30.0, ge=0)
    ramp: float = Field(0.1, ge=0, le=1, description="share of the steps over which that weight grows to its value")
    feature_dropouts: int = Field(6, ge=0)
    feature_noises: int = Field(6, ge=0)
    spatial_dropouts: int = Field(6, ge=0)
    cutouts: int = Field(6, ge=0)
    context_masks: int = Field(2, ge=0)
    object_masks: int = Field(2, ge=0)
    adversarial: int = Field(2, ge=0)


class RegionalContrast(Segmentation):
    """ReCo (Liu et al., ICLR 2022): a mean teacher's pseudo-labels, and contrast between regions' features."""

    encoder: str = Field("resnet101", description="a ResNet of timm")
    decoder_channels: int = Field(256, ge=1, description="of ASPP")
    dropout: float = Field(0.5, ge=0, lt=1, description="of ASPP")
    ema: float = Field(0.99, ge=0, lt=1, description="of the teacher")
    weak: float = Field(0.7, ge=0, le=1, description="confidence below which a pixel is left out of the contrast")
    strong: float = Field(0.97, ge=0, le=1, description="confidence above which a pixel trains, below is a hard query")
    temperature: float = Field(0.5, gt=0)
    queries: int = Field(256, ge=1, description="per class")
    negatives: int = Field(512, ge=1, description="per query")
    embedding: int = Field(256, ge=1, description="channels of the representation")


class Classification(FanetShape):
    """A backbone under a linear classifier, as on ImageNet-1K."""

    network: Literal["fanet", "focalnet_tiny", "focalnet_base", "resnet"] = "fanet"
    encoder: str = Field("resnet101", description="of network 'resnet': a ResNet of timm")
    focal_window: int = Field(3, ge=1)
    data: str = Field("imagenet1k", description="'imagenet1k', or 'folder:PATH' of the same layout")
    image_size: int = Field(224, ge=16)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    micro_batch: int = Field(0, ge=0, description="gradients are summed over batches of so many; 0: at once")
    lr: float = Field(gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup_epochs: int = Field(5, ge=0)
    warmup_lr: float = Field(1e-6, ge=0)
    min_lr: float = Field(1e-5, ge=0)
    augment: Literal["full", "flip"] = Field("full", description="RandAugment, erasing, mixing; or crops and flips")
    mixup: float = Field(0.8, ge=0)
    cutmix: float = Field(1.0, ge=0)
    smoothing: float = Field(0.1, ge=0, lt=1)
    crop_share: float = Field(0.9, gt=0, le=1, description="of a test image's short side that is evaluated")
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = Field(0, ge=0)


class Cost(FanetShape):
    """Parameters and operations of a network; nothing is trained."""

    network: Literal["fanet", "focalnet_tiny", "focalnet_base", "deeplabv3plus"] = "fanet"
    encoder: str = "resnet101"
    focal_window: int = Field(3, ge=1)
    head: Literal["classifier", "segmenter"] = "classifier"
    classes: int = Field(1000, ge=1)
    image_size: int = Field(224, ge=32)
    decoder_channels: int = Field(256, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)


class Frequencies(Settings):
    """Figure 2: an image, its blurred version, their product and their difference."""

    data: Data
    image_size: int = Field(192, ge=32, description="pixels a side of clutter's frames")
    part: Literal["image", "blurred", "product", "difference"]
    blur: float = Field(gt=0, description="deviation of the Gaussian, in percent of the short side")


SEGMENTATION = {
    "loss/total": Metric("what is minimised"),
    "quality/miou": Metric("mean intersection over union of the five classes, background included", "higher", "%"),
    "quality/pixel_accuracy": Metric("pixels of the right class", "higher", "%"),
    "quality/class_accuracy": Metric("pixels of the right class, mean over classes", "higher", "%"),
    "quality/val_miou": Metric("quality/miou on the validation split", "higher", "%"),
    **{f"iou/{name}": Metric(f"intersection over union of {name}", "higher", "%") for name in CLASSES},
    "cost/parameters": Metric("weights of the network that is evaluated", None, "M"),
    "cost/macs": Metric("multiply-accumulates of one frame at the size of a training crop", None, "G"),
}

SUPERVISED = {
    **SEGMENTATION,
    "loss/decoder": Metric("cross-entropy of the decoder"),
    "loss/auxiliary": Metric("cross-entropy of the auxiliary head"),
}

CCT = {
    **SEGMENTATION,
    "loss/supervised": Metric("cross-entropy on labelled frames"),
    "loss/consistency": Metric("squared difference of the decoders on unlabelled frames"),
}

RECO = {
    **SEGMENTATION,
    "loss/supervised": Metric("cross-entropy on labelled frames"),
    "loss/pseudo": Metric("cross-entropy against the teacher's labels, weighted by its confidence"),
    "loss/contrast": Metric("contrast between the representations of regions"),
}

CLASSIFICATION = {
    "loss/total": Metric("cross-entropy against smoothed and mixed labels"),
    "quality/top1": Metric("validation images whose first guess is right", "higher", "%"),
}

COST = {
    "cost/parameters": Metric("weights", None, "M"),
    "cost/macs": Metric("multiply-accumulates of one image", None, "G"),
}

FREQUENCIES = {"detail/share": Metric("energy above a quarter of the pixel rate, of all but the mean's", None, "%")}


def _frames(settings: Segmentation) -> Sequence[str]:
    return [settings.data]


def _frames_and_more(settings: Segmentation) -> Sequence[str]:
    return ["clutter"] if settings.data == "clutter" else ["zerowaste-f", "zerowaste-s"]


def _labelled_images(settings: Classification) -> Sequence[str]:
    return [settings.data]


def _segmentation_alone(settings: Supervised, ranks: int) -> str:
    if settings.hard_pixels < 1:
        return "hard_pixels picks among the pixels of the whole batch"
    if settings.compile == "on":
        return "its network is compiled, which was never tried with shared batches"
    return f"a batch of {settings.batch_size} does not divide among them" if settings.batch_size % ranks else ""


def _pretraining_alone(settings: Classification, ranks: int) -> str:
    part = settings.micro_batch or settings.batch_size
    if settings.batch_size % part:
        return f"its last batch of gradients is smaller than micro_batch ({part})"
    return f"batches of {part}, mixed in pairs, do not divide among them" if part % (2 * ranks) else ""


TASKS = [
    TaskSpec(
        "waste_segmentation",
        Supervised,
        "retable.models.fanet.tasks:supervised",
        SUPERVISED,
        "quality/miou",
        _frames,
        alone=_segmentation_alone,
    ),
    TaskSpec(
        "waste_segmentation_cct",
        CrossConsistency,
        "retable.models.fanet.tasks:cct",
        CCT,
        "quality/miou",
        _frames_and_more,
    ),
    TaskSpec(
        "waste_segmentation_reco",
        RegionalContrast,
        "retable.models.fanet.tasks:reco",
        RECO,
        "quality/miou",
        _frames_and_more,
    ),
    TaskSpec(
        "waste_pretraining",
        Classification,
        "retable.models.fanet.tasks:classification",
        CLASSIFICATION,
        "quality/top1",
        _labelled_images,
        alone=_pretraining_alone,
    ),
    TaskSpec(
        "waste_network_cost", Cost, "retable.models.fanet.cost:make", COST, "cost/parameters", lambda settings: []
    ),
    TaskSpec(
        "waste_frequencies",
        Frequencies,
        "retable.models.fanet.frequencies:make",
        FREQUENCIES,
        "detail/share",
        lambda settings: [settings.data],
    ),
]
