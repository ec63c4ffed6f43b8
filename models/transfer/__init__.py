"""What the unrolled solver and the methods it is compared with share: pairs of content and style, L_TV, measures.

Settings, names of metrics and what a picture reads stand here, without torch; images, loss network, style matrices,
the matting Laplacian and its filters in the modules. Source: Puy and Perez, "A Flexible Convolutional Solver for Fast
Style Transfers", CVPR 2019. Section numbers in the field texts are that paper's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from retable.bench.data import FOLDER_PREFIX, photos, styles
from retable.bench.task import Metric, Settings, did_you_mean

Weights = Literal["file", "torchvision"]
Precision = Literal["auto", "fp32", "bf16"]
Image = Annotated[str, AfterValidator(lambda name: _image(name))]
SIDE = 17
"""Least pixels a side: what four halvings of the solver and of the loss network allow."""


def _image(name: str) -> str:
    known = (*photos.PHOTOS, *styles.NAMES)
    if name in known or name.removeprefix(FOLDER_PREFIX) not in ("", name):
        return name
    raise ValueError(f"unknown image '{name}'{did_you_mean(name, known)}, or {FOLDER_PREFIX}PATH of a file")


def _set(name: str) -> str:
    if name in ("photos", "coco2014") or name.removeprefix(FOLDER_PREFIX) not in ("", name):
        return name
    words = ("photos", "coco2014", f"{FOLDER_PREFIX}PATH")
    raise ValueError(f"unknown data '{name}'{did_you_mean(name, words)}")


def pixels(resolution: str) -> tuple[int, int]:
    """Height and width of "256x128", which is wide."""
    width, height = resolution.split("x")
    return int(height), int(width)


def _resolution(word: str) -> str:
    parts = word.split("x")
    if len(parts) != 2 or not all(p.isdecimal() and SIDE <= int(p) <= 4096 for p in parts):
        raise ValueError(f"'{word}' is no width x height in pixels like 256x128, both sides {SIDE} to 4096")
    return word


Data = Annotated[str, AfterValidator(_set)]
Resolution = Annotated[str, AfterValidator(_resolution), Field(description="pixels, width x height")]


class Measured(Settings):
    """How L_TV is measured: equation 1 with the weights of section 5.1."""

    content_weight: float = Field(default=0.02, ge=0, description="lambda_c of conv4_2")
    variation_weight: float = Field(default=0.3, ge=0, description="lambda_TV, of the mean absolute difference")
    alpha_floor: float = Field(default=0.0, ge=0, description="least alpha; 0: a dark style's loss is unbounded")
    weights: Weights = Field(default="file", description="loss network: the file that ships, or torchvision's VGG-19")


class Pair(Measured):
    """A content and a style to stylise it by."""

    content: Image = "chelsea"
    style: Image = "mosaic"
    resolution: Resolution = "256x256"

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width."""
        return pixels(self.resolution)


def loss_network_data(weights: Weights) -> str:
    """The name in `retable.bench.data` of the loss network's weights."""
    return "vgg16" if weights == "file" else "vgg19_torchvision"


def pair_data(s: Measured) -> list[str]:
    """What a task that stylises named pictures reads."""
    return sorted({"photos", "styles", loss_network_data(s.weights)})


PICTURE = {
    "loss/total": Metric("L_TV of section 5.1: content, style and total variation"),
    "loss/content": Metric("content term with its weight"),
    "loss/style": Metric("style terms, divided by alpha"),
    "loss/variation": Metric("total variation with its weight"),
    **{f"style/scale{s}": Metric(f"style term of conv{s}_1, divided by alpha") for s in range(1, 6)},
    "quality/affine": Metric("Tr(X^T L X) a pixel and channel, L the content's matting Laplacian; low: photorealistic"),
    "quality/ssim": Metric("structural similarity of result and content, grey", "higher"),
}
"""What every method's picture is measured by."""

TIME = {"time/stylise": Metric("one picture, style measured and all", unit="s")}
