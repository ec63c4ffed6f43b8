"""The unrolled solver and everything it is compared on: tasks and settings, without torch.

Source: Puy and Perez, "A Flexible Convolutional Solver for Fast Style Transfers", CVPR 2019. Section numbers in the
field texts are that paper's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from retable.bench.data import video
from retable.bench.task import Metric, Settings, TaskSpec, did_you_mean
from retable.models.settings import finite
from retable.models.transfer import (
    PICTURE,
    SIDE,
    TIME,
    Data,
    Image,
    Measured,
    Pair,
    Precision,
    Resolution,
    Weights,
    loss_network_data,
    pair_data,
    pixels,
)


def _scene(name: str) -> str:
    if name in video.SCENES or name.removeprefix("sintel:") not in ("", name):
        return name
    raise ValueError(f"unknown scene '{name}'{did_you_mean(name, video.SCENES)}, or sintel:SCENE")


SceneName = Annotated[str, AfterValidator(_scene)]
Scales = Annotated[str, Field(pattern=r"^(none|1?2?3?4?5?)$", min_length=1)]
Layout = Literal["mixed", "halves", "disc"]
Solving = Literal["graph_filter", "conjugate_gradients"]


class Unrolled(Measured):
    """One training run of the solver (section 5.1)."""

    iterations: int = Field(default=4, ge=1, le=16, description="N, learned updates with untied weights")
    width: int = Field(default=64, ge=1, le=128, description="L, channels of the first scale")
    nonlinearity: Literal["heaviside", "relu"] = "heaviside"
    backward: Literal["separate", "shared"] = Field(
        default="separate", description="backward maps per scale (figure 2), or one chain that the scales join"
    )
    derivative: Literal["style", "difference"] = Field(
        default="style", description="style: equation 7; difference: equation 6, with the features' own Gram matrix"
    )

    data: Data = Field(default="photos", description="photos, coco2014 or folder:PATH; contents and styles")
    styles: Literal["same", "textures", "patterns", "few"] = Field(
        default="same",
        description="same: images of `data`; textures: half of them embedded textures; patterns: drawn patterns too; "
        "few: seven whole pictures and no other, those of the figures foremost",
    )
    style_size: int = Field(default=0, ge=0, le=1024, description="few: pixels a side of the styles; 0: `size`")
    mirrored: bool = Field(default=False, description="every second content mirrored, at random")
    recolour: bool = Field(default=False, description="styles with permuted and slightly bent channels")
    size: int = Field(default=320, ge=32, le=1024, description="pixels a side")
    images: int = Field(default=0, ge=0, description="training images to draw from; 0: all there are")
    held_out: int = Field(default=1000, ge=1, le=20000, description="validation pairs, the same for every network")

    steps: int = Field(ge=1, le=100_000_000)
    pairs: int = Field(default=1, ge=1, le=256, description="content-style pairs per step")
    lr: float = Field(default=2e-5, gt=0, le=1)
    forward_lr: float = Field(
        default=1.0, gt=0, le=1, description="of the forward maps, as a share of lr: their ReLUs die at a high one"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant", description="linear: ten steps up, then to zero; cosine: twenty up, then half a cosine"
    )
    clip: float = Field(default=0.0, ge=0, description="largest norm of the gradient; 0: not clipped")
    gain: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="of the layers that make updates; small: a training starts at the content",
    )
    range_weight: float = Field(
        default=0.0, ge=0, description="of the mean square outside [0, 1], where L_TV, which clips, has no gradient"
    )
    keep: float = Field(default=0.9, gt=0, le=1, description="probability that a scale's beta is not zero")
    noise: float = Field(default=0.1, ge=0, le=1, description="upper end of the noise's amplitude")
    precision: Precision = Field(default="auto", description="auto: bf16 where the machine computes in it natively")

    preview_content: Image = "chelsea"
    preview_style: Image = "mosaic"
    preview_size: int = Field(default=256, ge=SIDE, le=2048, description="pixels a side of the preview")

    _finite = model_validator(mode="after")(finite)

    @model_validator(mode="after")
    def _fits(self) -> Unrolled:
        if self.style_size and self.styles != "few":
            raise ValueError(f"style_size: styles that are '{self.styles}' are of the contents' size: leave it 0")
        if self.recolour and self.styles == "few":
            raise ValueError("recolour: few styles are kept as they are: false")
        if 0 < self.style_size < SIDE:
            raise ValueError(f"style_size: at least {SIDE} pixels, or 0 for the contents' size")
        return self


class Restructured(Pair):
    """One picture by a trained solver, restructured at run time (section 4)."""

    method: Literal["unrolled"] = "unrolled"
    scales: Scales = Field(default="12345", description="the style scales that are on, 1 (conv1_1) to 5; or none")
    intensity: float = Field(default=1.0, ge=0, le=10, description="factor on all style weights; 0: the content")
    second: Literal[""] | Image = Field(default="", description="a second style; empty: there is one")
    layout: Layout = Field(default="mixed", description="two styles mixed everywhere, in halves, or one in a disc")
    share: float = Field(default=0.5, ge=0, le=1, description="weight of the second style where they are mixed")
    photo: bool = Field(default=False, description="photorealism by the matting Laplacian after every update")
    photo_weight: float = Field(default=50.0, ge=0, description="lambda_L")
    solver: Solving = Field(default="graph_filter", description="of the photorealism's linear system")


MOST_PAIRS = 24


class Pairs(Measured):
    """Many pairs by one method, where Figure 5 shows a few."""

    method: Literal["unchanged", "style_itself", "colour_match", "gatys", "adain", "wct", "unrolled"]
    count: int = Field(default=MOST_PAIRS, ge=2, le=MOST_PAIRS, description="crops of held-out photographs")
    size: int = Field(default=256, ge=SIDE, le=2048, description="pixels a side")
    steps: int = Field(default=500, ge=1, le=100_000, description="gatys: iterations of L-BFGS")
    strength: float = Field(default=0.6, ge=0, le=1, description="wct: share of transformed features at each level")


SHOWN_FRAMES = 30
"""So many frames, at most, have a flicker of their own among the metrics."""


class Film(Settings):
    """A short film, stylised frame by frame (section 5.5)."""

    method: Literal["unchanged", "unrolled", "adain", "wct", "photo_wct"] = "unrolled"
    scene: SceneName = Field(default="passing", description="an embedded scene, or sintel:SCENE")
    frames: int = Field(default=16, ge=3, le=1000)
    resolution: Resolution = "256x192"
    style: Image = "mosaic"
    temporal: Literal["never", "inside", "after"] = Field(
        default="never", description="temporal operator: not used, after every update (unrolled alone), on the result"
    )
    temporal_weight: float = Field(default=0.37, ge=0, description="lambda_R of section 5.5")
    flow: Literal["exact", "tvl1", "ilk"] = Field(
        default="exact", description="what the operator warps by: the film's own flow, or scikit-image's estimate"
    )
    photo: bool = Field(default=False, description="unrolled: photorealism operator too; photo_wct: smoothing step")
    weights: Weights = Field(default="file", description="network of the styles: the one that was trained with")
    photo_weight: float = Field(default=50.0, ge=0, description="lambda_L")

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width."""
        return pixels(self.resolution)

    @model_validator(mode="after")
    def _fits(self) -> Film:
        if self.temporal == "inside" and self.method != "unrolled":
            raise ValueError(f"temporal: {self.method} has no updates to put an operator between: after or never")
        if self.photo and self.method in ("unchanged", "adain", "wct"):
            raise ValueError(f"photo: {self.method} has no photorealistic form")
        return self


class Texture(Settings):
    """A reduced texture enlarged again (section 5.6)."""

    method: Literal["bicubic", "srcnn", "unrolled"]
    texture: Literal["brick", "grass", "gravel"] = "gravel"
    size: int = Field(default=192, ge=48, le=256, multiple_of=48, description="pixels a side")
    factor: int = Field(default=3, ge=2, le=4)
    scales: Scales = Field(default="1234", description="unrolled: the style scales that are on; none: not guided")
    intensity: float = Field(default=1.0, ge=0, le=10, description="factor on all style weights")
    consistency_weight: float = Field(default=50.0, ge=0, description="lambda_R of section 5.6")
    weights: Weights = Field(default="file", description="network of the Gram matrices that are compared")


SHOWN_REPEATS = 10
"""So many repeats, at most, are metrics of their own."""


class Timed(Settings):
    """Seconds for one image (the table of section 5.4)."""

    method: Literal["unrolled", "adain", "wct", "photo_wct"] = "unrolled"
    laplacian: bool = Field(default=False, description="with whatever the method does with the matting Laplacian")
    resolution: Resolution = "256x128"
    repeats: int = Field(default=5, ge=1, le=1000)
    warm_up: bool = Field(default=True, description="one pass before those that count")
    iterations: int = Field(default=4, ge=1, le=16, description="unrolled: N")
    width: int = Field(default=64, ge=1, le=128, description="unrolled: L")
    backward: Literal["separate", "shared"] = "separate"
    levels: int = Field(default=4, ge=1, le=5, description="wct, photo_wct: levels; adain: its level")
    photo_weight: float = Field(default=50.0, ge=0, description="lambda_L")
    solver: Solving = Field(default="graph_filter", description="unrolled: of the photorealism's linear system")
    content: Image = "china"
    style: Image = "mosaic"
    weights: Weights = "file"

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width."""
        return pixels(self.resolution)

    @model_validator(mode="after")
    def _fits(self) -> Timed:
        if self.laplacian and self.method in ("adain", "wct"):
            raise ValueError(f"laplacian: {self.method} does nothing with it")
        return self


HELD_OUT_GROUPS = 24
"""The held-out pairs are told apart in so many groups, of equal size up to one pair."""

GROUPS = {
    f"held_out/group{g:02d}": Metric(f"L_TV of the result, mean over the {g}th of {HELD_OUT_GROUPS} groups of pairs")
    for g in range(1, HELD_OUT_GROUPS + 1)
}


def _unrolled_data(s: Unrolled) -> list[str]:
    return sorted({s.data, "photos", "styles", loss_network_data(s.weights)})


def _film_data(s: Film) -> list[str]:
    film = "video" if s.scene in video.SCENES else "sintel"
    return sorted({film, "photos", "styles", loss_network_data(s.weights)})


TASKS = [
    TaskSpec(
        name="unrolled",
        settings=Unrolled,
        make="retable.models.unrolled.training:UnrolledTask",
        metrics={
            "loss/total": Metric("training loss: the sum of L_TV over the iterations, mean over a step's pairs"),
            "loss/explosion": Metric("largest training loss of a step over the geometric mean of all"),
            "loss/held_out": Metric("L_TV of the result, mean over the validation pairs"),
            "loss/deviation": Metric("its standard deviation over the pairs", better=None),
            "loss/median": Metric("its median"),
            "loss/trimmed": Metric("its mean without the lowest and highest tenth"),
            "loss/relative": Metric("geometric mean over the pairs of L_TV of the result over that of the content"),
            "loss/unchanged": Metric("L_TV of the unchanged contents, mean over the pairs", better=None),
            "loss/improved": Metric("share of the pairs whose result is better than the content", "higher", "%"),
            **GROUPS,
            "artefact/white": Metric("held-out results' pixels that are white where the content is not", unit="%"),
            "health/dead_channels": Metric("forward maps' channels that no held-out content fires", unit="%"),
            "health/dead_worst": Metric("the same in the scale and update that has most", unit="%"),
            "model/parameters": Metric("trained parameters", better=None),
            "model/bits": Metric("precision of the convolutions: 32 (fp32) or 16 (bf16)", better=None, unit="bit"),
        },
        objective="loss/held_out",
        data=_unrolled_data,
        apply="retable.models.unrolled.apply:apply",
    ),
    TaskSpec(
        name="unrolled_picture",
        settings=Restructured,
        make="retable.models.unrolled.solving:RestructuredTask",
        metrics={**PICTURE, **TIME},
        objective="loss/total",
        data=pair_data,
    ),
    TaskSpec(
        name="stylised_pairs",
        settings=Pairs,
        make="retable.models.unrolled.pairs:PairsTask",
        metrics={
            "loss/total": Metric("L_TV, mean over the pairs"),
            **{f"pair/loss{i:02d}": Metric(f"L_TV of pair {i}") for i in range(1, MOST_PAIRS + 1)},
        },
        objective="loss/total",
        data=pair_data,
    ),
    TaskSpec(
        name="stylised_video",
        settings=Film,
        make="retable.models.unrolled.filming:FilmTask",
        metrics={
            "video/error": Metric("root mean square of each frame minus the last one warped to it, where valid"),
            "video/error_input": Metric("the same of the film itself", better=None),
            "video/flicker": Metric("root mean square of the part of that change which the next frame takes back"),
            "video/flicker_input": Metric("the same of the film itself", better=None),
            **{f"flicker/frame{t:02d}": Metric(f"video/flicker of frame {t}") for t in range(2, SHOWN_FRAMES + 2)},
            "video/style": Metric("style term of L_TV divided by its alpha, mean over the frames that are shown"),
            "video/valid": Metric("share of the pixels whose motion is known", better=None, unit="%"),
        },
        objective="video/error",
        data=_film_data,
    ),
    TaskSpec(
        name="texture",
        settings=Texture,
        make="retable.models.unrolled.textures:TextureTask",
        metrics={
            "quality/psnr": Metric("of the luminance, against the texture before it was reduced", "higher", "dB"),
            "quality/detail": Metric("of what the reduction took away, root mean square", "higher", "%"),
            "quality/consistency": Metric("PSNR of the result, reduced again, against what was given", "higher", "dB"),
            "quality/gram_snr": Metric("signal-to-noise ratio of the Gram matrices, all scales", "higher", "dB"),
            **{f"quality/gram_snr{s}": Metric(f"the same of conv{s}_1 alone", "higher", "dB") for s in range(1, 6)},
        },
        objective="quality/psnr",
        data=lambda s: sorted({"styles", loss_network_data(s.weights)}),
    ),
    TaskSpec(
        name="stylising_time",
        settings=Timed,
        make="retable.models.unrolled.timing:TimingTask",
        metrics={
            "time/stylise": Metric("one picture from image to image, median of the repeats", unit="s"),
            "time/spread": Metric("slowest repeat over fastest", better=None),
            **{f"repeat/time{i:02d}": Metric(f"the same, repeat {i}", unit="s") for i in range(1, SHOWN_REPEATS + 1)},
        },
        objective="time/stylise",
        data=pair_data,
    ),
]
