"""The methods that fast solvers are compared with: tasks and settings, without torch.

Own implementations from their papers: Gatys, Ecker and Bethge 2016 (optimisation of the image), Huang and Belongie
2017 (AdaIN), Li et al. 2017 (WCT), Li et al. 2018 (closed-form photorealistic stylisation), Luan et al. 2017
(optimisation with a photorealism term), Dong et al. 2014 (SRCNN). What is trained is trained here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from retable.bench.task import Metric, Settings, TaskSpec
from retable.models.settings import finite
from retable.models.transfer import PICTURE, TIME, Data, Pair, Precision, Weights, loss_network_data, pair_data


class Trained(Settings):
    """What the training runs share: images and optimisation."""

    data: Data = Field(default="photos", description="photos, coco2014 or folder:PATH")
    size: int = Field(default=256, ge=16, le=1024, description="pixels a side")
    images: int = Field(default=0, ge=0, description="training images to draw from; 0: all there are")
    held_out: int = Field(default=16, ge=1, le=20000, description="validation images (pairs, for AdaIN)")
    steps: int = Field(ge=1, le=100_000_000)
    batch_size: int = Field(default=8, ge=1, le=1024)
    lr: float = Field(default=1e-4, gt=0, le=1)
    lr_decay: float = Field(default=0.0, ge=0, description="learning rate at step t: lr / (1 + lr_decay t)")
    precision: Precision = "auto"

    _finite = model_validator(mode="after")(finite)


class Decoder(Trained):
    """Decoders that turn features of the frozen network back into images."""

    method: Literal["adain", "wct", "photo_wct"]
    levels: int = Field(default=4, ge=1, le=5, description="wct, photo_wct: relu1_1 to this block; adain: this alone")
    slim: float = Field(default=1.0, gt=0, le=1, description="share of the encoder's channels; photo_wct needs 1")
    feature_weight: float = Field(default=1.0, ge=0, description="wct, photo_wct: lambda of the feature loss")
    recolour: bool = Field(default=False, description="images with permuted and slightly bent channels")
    style_weight: float = Field(default=10.0, ge=0, description="adain: lambda of the style loss")
    weights: Weights = "file"

    @model_validator(mode="after")
    def _fits(self) -> Decoder:
        if self.method == "photo_wct" and self.slim != 1:
            raise ValueError("slim: photo_wct restores the encoder's pooling places and needs its channels: 1")
        if self.method == "photo_wct" and self.levels > 4:
            raise ValueError("levels: photo_wct has 4 at most")
        return self


class SuperResolution(Trained):
    """SRCNN (9-1-5): luminance, enlarged bicubically first."""

    factor: int = Field(default=3, ge=2, le=4)
    patches: int = Field(default=16, ge=1, le=4096, description="patches per step")


class Optimised(Pair):
    """One picture, optimised itself."""

    method: str
    steps: int = Field(ge=1, le=100_000, description="iterations of L-BFGS")


class Gatys(Optimised):
    """Gatys et al. 2016: L_TV itself, minimised by L-BFGS from the content."""

    method: Literal["gatys"] = "gatys"


class DeepPhoto(Optimised):
    """Luan et al. 2017: L_TV and the photorealism penalty."""

    method: Literal["deep_photo"] = "deep_photo"
    affine_weight: float = Field(default=100.0, gt=0, description="of Tr(X^T L X) a pixel and channel, beside L_TV")


class Reference(Pair):
    """One picture by a method that has learned nothing."""

    method: Literal["unchanged", "style_itself", "colour_match"]


class FeedForward(Pair):
    """One picture by trained decoders."""

    method: str
    strength: float = Field(default=0.6, ge=0, le=1, description="share of transformed features at each level")
    smoothing: bool = False


class Adain(FeedForward):
    """Huang and Belongie 2017."""

    method: Literal["adain"] = "adain"


class Wct(FeedForward):
    """Li et al. 2017."""

    method: Literal["wct"] = "wct"


class PhotoWct(FeedForward):
    """Li et al. 2018."""

    method: Literal["photo_wct"] = "photo_wct"
    strength: float = Field(default=1.0, ge=0, le=1, description="share of transformed features at each level")
    smoothing: bool = Field(default=True, description="the closed-form smoothing step")


def _decoder_data(s: Decoder) -> list[str]:
    return sorted({s.data, loss_network_data(s.weights)})


TASKS = [
    TaskSpec(
        name="decoder",
        settings=Decoder,
        make="retable.models.stylizers.training:make_decoder",
        metrics={
            "loss/total": Metric("the decoder's own training loss, of one batch"),
            "loss/held_out": Metric("the same on images that were not trained on"),
            "model/parameters": Metric("trained parameters", better=None),
        },
        objective="loss/held_out",
        data=_decoder_data,
    ),
    TaskSpec(
        name="srcnn",
        settings=SuperResolution,
        make="retable.models.stylizers.superresolution:SrcnnTask",
        metrics={
            "loss/total": Metric("mean squared error of the luminance in [0, 1], of one batch"),
            "loss/held_out": Metric("the same on images that were not trained on"),
            "quality/psnr": Metric("of the luminance on images that were not trained on", "higher", "dB"),
            "quality/psnr_bicubic": Metric("the same of plain bicubic interpolation", None, "dB"),
        },
        objective="loss/held_out",
        data=lambda s: [s.data],
    ),
    *(
        TaskSpec(
            name=settings.model_fields["method"].default,
            settings=settings,
            make="retable.models.stylizers.optimised:OptimisedTask",
            metrics=PICTURE,
            objective="loss/total",
            data=pair_data,
            seeded=False,
        )
        for settings in (Gatys, DeepPhoto)
    ),
    TaskSpec(
        name="reference_picture",
        settings=Reference,
        make="retable.models.stylizers.references:ReferenceTask",
        metrics={**PICTURE, **TIME},
        objective="loss/total",
        data=pair_data,
        seeded=False,
    ),
    *(
        TaskSpec(
            name=settings.model_fields["method"].default,
            settings=settings,
            make="retable.models.stylizers.pictures:FeedForwardTask",
            metrics={**PICTURE, **TIME},
            objective="loss/total",
            data=pair_data,
        )
        for settings in (Adain, Wct, PhotoWct)
    ),
]
