"""Style transfer with transformers and two separability losses: the tasks and their settings, without torch.

Source: Tatipigari, Kain and Church, "Robust Style Transfer with Transformers" ("the paper"; its equation and
section numbers are used here), which builds on Deng et al., "StyTr2: Image Style Transfer with Transformers",
CVPR 2022 ("the original"). "Released code" is the paper's own. Where the three differ, a word here says which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from retable.bench.data import FOLDER_PREFIX, photos, styles
from retable.bench.task import Metric, Settings, TaskSpec, did_you_mean

Norm = Literal["l2", "l1"]
TapSet = Literal["paper", "original", "small", "both"]
Weights = Literal["file", "torchvision19"]

TAPS: dict[TapSet, tuple[str, ...]] = {
    # Section 3.2.2: indices 8, 15, 20, 26, 31, 35 of VGG-19, each after its ReLU.
    "paper": ("relu2_2", "relu3_3", "relu4_1", "relu4_4", "relu5_2", "relu5_4"),
    "original": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    # Of the first two together, to measure both on what neither chose alone.
    "both": (
        "relu1_1",
        "relu2_1",
        "relu2_2",
        "relu3_1",
        "relu3_3",
        "relu4_1",
        "relu4_4",
        "relu5_1",
        "relu5_2",
        "relu5_4",
    ),
    # Ours, for images of 64 or 128 px: the paper's, with relu5_1 for its two deepest, which see a few positions there.
    "small": ("relu2_2", "relu3_3", "relu4_1", "relu4_4", "relu5_1"),
}
"""The loss network's layers, shallow first. The style loss takes all of them, the content loss the last two."""

LAYERS = tuple(sorted({tap for taps in TAPS.values() for tap in taps}))

CONTENTS = ("photos", "kaggle_random_images")
STYLES = ("styles", "kaggle_abstract_art")


def named(data: str) -> tuple[str, ...]:
    """The names in "photos:A+B" or "styles:A+B"; none of any other word."""
    source, _, names = data.partition(":")
    return tuple(names.split("+")) if source in ("photos", "styles") and names else ()


def _one_of(words: tuple[str, ...], pictures: Iterable[str], name: str) -> str:
    if name in words or name.removeprefix(FOLDER_PREFIX) not in ("", name):
        return name
    if (chosen := named(name)) and name.startswith(f"{words[0]}:"):
        for word in chosen:
            if word not in pictures:
                raise ValueError(f"no picture '{word}' among the {words[0]}{did_you_mean(word, pictures)}")
        return name
    known = (*words, f"{words[0]}:NAME+NAME", f"{FOLDER_PREFIX}PATH")
    raise ValueError(f"unknown data '{name}'{did_you_mean(name, known)}")


def _separability(name: str) -> str:
    words = ("none", "content", "full")
    if name in words or re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name):
        return name
    raise ValueError(f"unknown loss '{name}'{did_you_mean(name, words)}, or your own as package.module:function")


Separability = Annotated[str, AfterValidator(_separability)]
ContentData = Annotated[str, AfterValidator(lambda name: _one_of(CONTENTS, photos.PHOTOS, name))]
StyleData = Annotated[str, AfterValidator(lambda name: _one_of(STYLES, styles.NAMES, name))]


class Model(Settings):
    """The network, the images and the loss network: what training and comparing have in common."""

    content: ContentData = Field(
        default="photos",
        description="photos: random crops of them; photos:NAME+NAME: the middles of these; kaggle_random_images or "
        "folder:PATH",
    )
    style: StyleData = Field(
        default="styles", description="styles, styles:NAME+NAME: these of them; kaggle_abstract_art or folder:PATH"
    )
    contents: int = Field(
        default=3000, ge=0, description="content images (section 1.3); 0: all of a folder, all that are named"
    )
    styles: int = Field(default=0, ge=0, description="style images; 0: all")
    size: int = Field(default=256, ge=16, le=1024, description="pixels a side")
    pairing: Literal["paper", "upstream", "all"] = Field(
        default="paper",
        description="paper: each content with random styles (3.2.1); upstream: the first styles, as many as there are "
        "contents, each with a content drawn anew at every use (released code); all: ours, each content with each "
        "style, all of them trained on and all of them measured",
    )
    pairs_per_content: int = Field(default=10, ge=1, description="section 3.2.1")
    validation_pairs: int = Field(default=0, ge=0, description="fixed pairs that are measured; 0: all 30 % of them")

    patch: Literal[2, 4, 8, 16] = Field(default=8, description="pixels a side of a patch; the original: 8")
    width: int = Field(default=512, ge=8, description="D, length of a token; the original: 512")
    heads: int = Field(default=8, ge=1)
    ffn: int = Field(default=2048, ge=1, description="hidden units of a feed-forward layer")
    encoder_layers: int = Field(default=3, ge=1, description="of each of the two encoders")
    decoder_layers: int = Field(default=3, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    pool: int = Field(default=18, ge=1, description="n of equation 2: the side of the pooled grid, not of a window")
    embedding: Literal["separate", "shared"] = Field(
        default="separate", description="separate: E^c and E^s of equation 1; shared: one projection (original)"
    )
    norm: Literal["pre", "post"] = Field(default="pre", description="pre: equations 3 and 5; post: the original")
    cape: Literal["tokens", "attention"] = Field(
        default="tokens",
        description="tokens: added before the content encoder (equation 1) and again after it (q^0 of 2.2.3); "
        "attention: added to queries and keys in every layer (original)",
    )
    decoder_attention: Literal["self", "memory"] = Field(
        default="self",
        description="self: equation 5; memory: the first attention reads the style too (original's code)",
    )
    init: Literal["torch", "released", "xavier"] = Field(
        default="torch",
        description="torch: each layer drawn anew by torch's rules; released: the layers of a stack start as copies of "
        "one (torch.nn.TransformerEncoder does so, and with it the released code); xavier: the original's, of "
        "every matrix of encoders and decoder",
    )
    patches: Literal["raw", "centred"] = Field(
        default="raw",
        description="start of the patch embedding. raw: torch's, as all published codes; centred: ours, that of pixels "
        "less grey times four, without which LayerNorm hides the picture behind its brightness; and grey as "
        "the first output",
    )
    pretrained: str = Field(
        default="",
        pattern="^(file:.+)?$",
        description="file:FOLDER: start from the three files of weights that the original's authors released; "
        "needs its form of the network",
    )

    taps: TapSet = Field(default="paper", description="layers of the training losses")
    measured_taps: TapSet = Field(default="paper", description="layers of the reported losses, equal for all trials")
    weights: Weights = Field(default="file", description="file: the VGG-16 that ships; torchvision19: as the paper")
    normalise: bool = Field(
        default=False, description="ImageNet mean and deviation on the loss network's input; released code: no"
    )
    features: float = Field(default=1.0, gt=0, description="factor on all features; margins are in their units")
    precision: Literal["auto", "fp32", "bf16"] = "fp32"

    content_weight: float = Field(default=10.0, ge=0, description="lambda_c of equation 12")
    style_weight: float = Field(default=7.0, ge=0, description="lambda_s")
    id1_weight: float = Field(default=70.0, ge=0, description="lambda_id1")
    id2_weight: float = Field(default=1.0, ge=0, description="lambda_id2")

    @model_validator(mode="after")
    def _fits(self) -> Model:
        if self.size % self.patch:
            raise ValueError(f"size {self.size} is not a multiple of patch {self.patch}")
        if self.size < 16 * (2 if self.taps == "paper" else 1):
            raise ValueError("size: the deepest tap needs at least 32 pixels a side")
        if self.width % self.heads or self.width % self.patch:
            raise ValueError(f"width {self.width} must be a multiple of heads ({self.heads}) and patch ({self.patch})")
        if self.content == "photos" and self.contents == 0:
            raise ValueError("contents: give a number above 0 with 'photos', of which there are endless crops")
        for word, count, all_of in (
            (self.content, self.contents, named(self.content)),
            (self.style, self.styles, named(self.style) or (styles.NAMES if self.style == "styles" else ())),
        ):
            if all_of and count > len(all_of):
                raise ValueError(f"{word}: there are {len(all_of)}, {count} are asked for (0: all)")
        original = (self.embedding, self.norm, self.cape, self.decoder_attention)
        if self.pretrained and original != ("shared", "post", "attention", "memory"):
            raise ValueError(
                "pretrained: the released weights are of the original's form: embedding shared, norm post, cape "
                "attention, decoder_attention memory"
            )
        return self


class Training(Model):
    """One training run of section 3."""

    steps: int = Field(ge=1)
    batch_size: int = Field(default=8, ge=1, description="section 3.2.1")
    augment: Literal["none", "crop"] = Field(
        default="none", description="crop: a random square out of twice the size, afresh at each use (original)"
    )
    keep: Literal["last", "best"] = Field(default="last", description="best: the weights of the lowest validation loss")
    validate_every: int = Field(default=0, ge=0, description="steps between measurements; 0: at the end only")

    separability: Separability = Field(
        description="none: StyTr2; content: L_sep1 (10); full: L_sep2 (11); package.module:function: your own"
    )
    separability_weight: float = Field(default=0.0, ge=0, description="lambda_sep; counted once, not in 10 and 12")
    margin: float = Field(default=2.0, ge=0, description="m of equations 10 and 11, in units of the features")
    hinge: Literal["squared", "norm", "unsquared"] = Field(
        default="squared",
        description="L_sep1. squared: m^2 against the squared norm of the difference (10); norm: m^2 against the norm "
        "(released code); unsquared: m against the norm (released code's L1 form, whose L_sep2 is the L2 form's)",
    )
    sigma_sign: Literal["plus", "minus"] = Field(
        default="plus", description="sign of the sigma term in 11; printed: minus, released code: plus"
    )
    content_features: Literal["normalised", "raw"] = Field(
        default="normalised",
        description="normalised: per channel to mean 0, deviation 1 (released code); raw: 6 as printed",
    )
    reduction: Literal["mean", "norm"] = Field(
        default="mean", description="mean: over all entries (released code); norm: summed per image, as printed"
    )
    content_norm: Norm = "l2"
    style_norm: Norm = "l2"
    id1_norm: Norm = "l2"
    id2_norm: Norm = "l2"

    lr: float = Field(default=5e-4, gt=0, le=1, description="section 3.2.4")
    schedule: Literal["equation13", "continuous", "cosine", "plateau", "constant"] = "equation13"
    warmup_steps: int = Field(default=10_000, ge=1, description="steps of the rise in equation 13 and of the cosine's")
    decay: float = Field(default=0.05, ge=0, description="gamma of equation 13 per step; continuous (original): 1e-5")
    plateau_patience: int = Field(default=500, ge=0, description="steps without a lower loss; released code: 500")
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    clip: float = Field(default=0.0, ge=0, description="largest norm of the gradient; 0: unlimited")


class Comparison(Model):
    """Two trained models on the same pairs (figure 2). Starts from a trial that itself started from the other."""

    separability: Separability = Field(description="of the trial it starts from; none: the baseline, against itself")
    tolerance: float = Field(default=0.01, gt=0, le=1, description="relative difference up to which losses are equal")
    shown: int = Field(default=2, ge=1, le=8, description="pairs in the picture")
    searched: int = Field(default=64, ge=1, description="pairs that are looked at, at most")


class Reference(Model):
    """What is not a trained model of style transfer, measured as one: a row beside the models' in table 1."""

    reference: Literal["unchanged", "crossfade", "grey", "colour", "pixels"] = Field(
        description="unchanged: the content; crossfade: half of each; grey; colour: the content with mean "
        "and deviation of the style's channels; pixels: what lowers the loss most, found for each pair by itself"
    )
    steps: int = Field(default=0, ge=0, description="updates of the pixels; of no matter to the others")
    lr: float = Field(default=0.02, gt=0, le=1, description="Adam's, of the pixels")


def _data(settings: Model) -> list[str]:
    vgg = "vgg16" if settings.weights == "file" else "vgg19_torchvision"
    words = (settings.content, settings.style)
    return sorted({vgg, *(word.partition(":")[0] if named(word) else word for word in words)})


def _per_layer() -> dict[str, Metric]:
    found = {}
    for layer in LAYERS:
        for kind, about in (("content", "content"), ("stats", "statistics")):
            share = f"share of pairs whose {about} hinge is active at {layer}"
            found[f"hinge/{kind}/{layer}"] = Metric(share, better=None)
            found[f"activity/{kind}/{layer}"] = Metric(f"mean over the training of hinge/{kind}/{layer}", better=None)
        found[f"distance/content/{layer}"] = Metric(f"squared distance of I_o and I_r at {layer}", better=None)
        found[f"distance/stats/{layer}"] = Metric(f"squared distance of their mu and sigma at {layer}", better=None)
    return found


_VALIDATED = {
    "validation/content": Metric("L_c (6) on the validation pairs, L2, without its weight"),
    "validation/style": Metric("L_s (7) on the validation pairs, L2, without its weight"),
    "validation/id1": Metric("L_id1 (8) on the validation pairs"),
    "validation/id2": Metric("L_id2 (9) on the validation pairs"),
    "validation/total": Metric("equation 12 without the separability term, on the validation pairs"),
    "validation/score": Metric("L_c + L_s on the validation pairs, without weights"),
    "validation/stylised": Metric("lambda_c L_c + lambda_s L_s on the validation pairs, of I_o alone"),
}
_MEASURED = {
    **_VALIDATED,
    "better/than_unchanged": Metric(
        "share of the pairs whose lambda_c L_c + lambda_s L_s is below that of the content left as it is",
        better="higher",
    ),
    "better/than_crossfade": Metric(
        "share of the pairs whose lambda_c L_c + lambda_s L_s is below that of content and style averaged",
        better="higher",
    ),
    "robust/stylised": Metric(
        "lambda_c L_c + lambda_s L_s of I_o whose inputs carry noise of 0.05 of their range, against the clean images"
    ),
    "reverse/stylised": Metric("lambda_c L_c + lambda_s L_s of I_r, whose content is I_s and whose style is I_c"),
}

TASKS = [
    TaskSpec(
        name="stytr2",
        settings=Training,
        make="retable.models.stytr2.task:TrainingTask",
        metrics={
            "loss/total": Metric("equation 12, of one batch"),
            "loss/base": Metric("equation 12 without the separability term, of one batch"),
            "loss/content": Metric("L_c (6) of one batch, without its weight, as it is trained"),
            "loss/style": Metric("L_s (7) of one batch, likewise"),
            "loss/id1": Metric("L_id1 (8) of one batch, likewise"),
            "loss/id2": Metric("L_id2 (9) of one batch, likewise"),
            "loss/separability": Metric("L_sep (10 or 11) of one batch, without its weight"),
            "schedule/lr": Metric("learning rate", better=None),
            "gradient/norm": Metric("norm of the gradient before it is clipped", better=None),
            **_MEASURED,
            "hinge/content": Metric("share of training steps with an active content hinge", better=None),
            "hinge/stats": Metric("share of training steps with an active statistics hinge", better=None),
            "hinge/stats_late": Metric(
                "share of steps with an active statistics hinge in the last fifth of the training", better=None
            ),
            "hinge/last_step": Metric("last training step with an active hinge", better=None),
            **_per_layer(),
            "gradient/first": Metric("mean norm of the gradient over the first 20 steps", better=None),
            "gradient/roughness": Metric("mean change of the logarithm of the gradient's norm from step to step"),
            "convergence/steps": Metric(
                "steps until the validation loss is first down to the baseline's final level (never: steps + 1)"
            ),
            "convergence/area": Metric("mean over the training of the validation loss"),
            "convergence/level": Metric("mean of the validation loss over the last fifth of its measurements"),
            "model/parameters": Metric("trained parameters", better=None),
            "model/bits": Metric("precision of the matrix products: 32 (fp32) or 16 (bf16)", better=None, unit="bit"),
        },
        objective="validation/score",
        data=_data,
        apply="retable.models.stytr2.apply:apply",
    ),
    TaskSpec(
        name="stytr2_reference",
        settings=Reference,
        make="retable.models.stytr2.references:ReferenceTask",
        metrics={"loss/total": Metric("lambda_c L_c + lambda_s L_s of the pixels, mean over the pairs"), **_MEASURED},
        objective="validation/stylised",
        data=_data,
        seeded=False,
    ),
    TaskSpec(
        name="stytr2_pairs",
        settings=Comparison,
        make="retable.models.stytr2.pairs:ComparisonTask",
        metrics={
            "pairs/searched": Metric("pairs that were looked at", better=None),
            "pairs/near_equal": Metric("of them, pairs whose L_c and L_s agree within the tolerance", better=None),
            "pairs/distance": Metric("largest distance of VGG features among the near-equal pairs", better=None),
            "pairs/ssim": Metric("SSIM of the two pictures of that pair (1: equal)", better=None),
            "pairs/content_difference": Metric("relative difference of its L_c", better=None, unit="%"),
            "pairs/style_difference": Metric("relative difference of its L_s", better=None, unit="%"),
            "pairs/mean_distance": Metric("mean distance of VGG features over all pairs", better=None),
            "pairs/mean_ssim": Metric("mean SSIM over all pairs", better=None),
            "equal_style/pairs": Metric("pairs whose L_s both models bring below the untouched content's", better=None),
            "equal_style/noise": Metric(
                "high frequencies where the content is flat, less the baseline's, at one L_s (the output with the "
                "lower one is blended with the content up to the other's)",
                unit="grey levels",
            ),
            "equal_style/content": Metric("L_c less the baseline's, at one L_s likewise"),
        },
        objective="pairs/distance",
        data=_data,
    ),
]
