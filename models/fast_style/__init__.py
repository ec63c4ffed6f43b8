"""Fast style transfer and what its optimizer does to it: the tasks and their settings, without torch.

Source: Geng, Moghiseh, Redenbach and Schladitz, "Comparing Optimization Methods for Deep Learning at the
Example of Artistic Style Transfer", 2020. Section numbers in the field texts are that paper's; "base code"
is the public code that it names as its starting point (its reference 17).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from retable.bench.data import FOLDER_PREFIX, photos, styles
from retable.bench.task import Metric, Settings, TaskSpec, did_you_mean
from retable.models.optimizers import OptimizerName
from retable.models.settings import finite

Weights = Literal["file", "torchvision"]
Precision = Literal["auto", "fp32", "bf16"]
Layer = Literal["relu1_2", "relu2_2", "relu3_3", "relu4_3"]


def _data(name: str) -> str:
    if name in ("photos", "coco2017") or name.removeprefix(FOLDER_PREFIX) not in ("", name):
        return name
    words = ("photos", "coco2017", f"{FOLDER_PREFIX}PATH")
    raise ValueError(f"unknown data '{name}'{did_you_mean(name, words)}")


def _style(name: str) -> str:
    if name not in styles.NAMES:
        raise ValueError(f"unknown style '{name}'{did_you_mean(name, styles.NAMES)}")
    return name


def _photo(name: str) -> str:
    if name not in photos.PHOTOS:
        raise ValueError(f"unknown photo '{name}'{did_you_mean(name, photos.PHOTOS)}")
    return name


DataName = Annotated[str, AfterValidator(_data)]
StyleName = Annotated[str, AfterValidator(_style)]
PhotoName = Annotated[str, AfterValidator(_photo)]


class FastStyle(Settings):
    """One training run of the image transformation network."""

    data: DataName = Field(default="photos", description="photos, coco2017 or folder:PATH")
    size: int = Field(default=256, ge=16, le=1024, multiple_of=4, description="pixels a side of a training image")
    images: int = Field(default=0, ge=0, description="images per epoch; 0: all there are")
    epochs: int = Field(default=1, ge=1, le=1000)
    batch_size: int = Field(default=4, ge=1, le=1024)

    style: StyleName = "mosaic"
    style_size: int = Field(default=256, ge=16, le=2048, description="pixels a side of the style image")

    width: int = Field(default=32, ge=1, le=256, description="channels of the network's first layer")
    norm: Literal["instance", "batch"] = "instance"
    output: Literal["tanh255", "linear"] = "tanh255"
    upsample: Literal["nearest", "deconv"] = "nearest"

    content_weight: float = Field(default=1e5, ge=0, description="lambda_c of equation 2.1")
    style_weight: float = Field(default=1e10, ge=0, description="lambda_s of equation 2.1")
    style_reduction: Literal["mean", "frobenius"] = Field(
        default="mean", description="frobenius: equation 2.4 as printed; mean: divided by the C^2 entries, as base code"
    )
    weights: Weights = Field(default="file", description="loss network: the file that ships, or torchvision's own")

    optimizer: OptimizerName = "adam"
    lr: float = Field(default=1e-3, gt=0, le=100)
    foreach: bool | None = Field(default=None, description="the optimizer's multi-tensor form; none: torch's choice")
    precision: Precision = Field(default="auto", description="auto: bf16 where the machine computes in it natively")

    held_out: int = Field(default=16, ge=1, le=5000, description="images of the held-out loss")
    preview: PhotoName = Field(default="chelsea", description="photograph that is stylised at the end")
    preview_size: int = Field(default=384, ge=32, le=2048, description="its longer side in pixels")

    _finite = model_validator(mode="after")(finite)


class Reconstruction(Settings):
    """One image rebuilt from one layer of the loss network (figure 2.2)."""

    layer: Layer = "relu2_2"
    target: Literal["content", "style"] = Field(description="content: match features; style: match their Gram matrix")
    photo: PhotoName = Field(default="chelsea", description="the image to rebuild with target content")
    style: StyleName = Field(default="mosaic", description="the image to rebuild with target style")
    size: int = Field(default=128, ge=16, le=1024, multiple_of=8, description="pixels a side")
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    lr: float = Field(default=1.0, gt=0, le=100, description="1 for lbfgs, about 0.05 for adam; pixels are [0, 1]")
    iterations: int = Field(default=100, ge=1, le=100_000)
    weights: Weights = "file"
    precision: Precision = "fp32"


def _weights_data(weights: Weights) -> str:
    return "vgg16" if weights == "file" else "vgg16_torchvision"


def _fast_style_data(settings: FastStyle) -> list[str]:
    # The preview is a photograph of `photos`, whatever the network is trained on.
    return sorted({settings.data, "photos", "styles", _weights_data(settings.weights)})


def _reconstruction_data(settings: Reconstruction) -> list[str]:
    image = "photos" if settings.target == "content" else "styles"
    return sorted({image, _weights_data(settings.weights)})


_LOSS = "weighted sum of content and style loss (equation 2.1)"

TASKS = [
    TaskSpec(
        name="fast_style",
        settings=FastStyle,
        make="retable.models.fast_style.task:FastStyleTask",
        metrics={
            "loss/total": Metric(f"{_LOSS}, of one batch"),
            "loss/content": Metric("content term with its weight, of one batch"),
            "loss/style": Metric("style term with its weight, of one batch"),
            "loss/final": Metric(f"{_LOSS}, mean over the last epoch, as the base code prints it"),
            "loss/last": Metric(f"{_LOSS}, mean over the last 20 steps"),
            "loss/held_out": Metric(f"{_LOSS}, on images that were not trained on"),
            "time/optimizer": Metric("median time of one optimizer step", unit="ms"),
            "model/parameters": Metric("trained parameters", better=None),
            "model/bits": Metric("precision of the convolutions: 32 (fp32) or 16 (bf16)", better=None, unit="bit"),
        },
        objective="loss/final",
        data=_fast_style_data,
        apply="retable.models.fast_style.apply:apply",
    ),
    TaskSpec(
        name="vgg_reconstruction",
        settings=Reconstruction,
        make="retable.models.fast_style.reconstruction:ReconstructionTask",
        metrics={
            "loss/total": Metric("squared difference of features or Gram matrices, relative to that of white noise"),
            "loss/pixels": Metric("root mean square difference to the original, of 255 grey levels"),
        },
        objective="loss/total",
        data=_reconstruction_data,
    ),
]
