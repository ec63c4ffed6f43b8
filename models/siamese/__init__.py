"""Siamese networks without contrastive pairs, and why they do not collapse: the tasks and their settings, torch-free.

Source: Höppe, Miszkurka and Wilkman, "[Re] Understanding Self-Supervised Learning Dynamics without Contrastive
Pairs", ReScience C 8(2), 2022, which reproduces Tian, Chen and Ganguli, ICML 2021 ("the original"). Sections,
equations and tables in the field texts are the reproduction's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from retable.bench.task import Metric, Settings, TaskSpec

DataName = Literal["patches", "cifar10"]
Encoder = Literal["resnet18", "conv4"]
Target = Literal["ema", "copied"]
Predictor = Literal["two_layer", "linear"]
Update = Literal["sgd", "directpred", "directcopy"]
Loss = Literal["cosine", "simclr", "barlow_twins", "vicreg"]
Decayed = Literal["all", "heads", "predictor", "none"]


class Pretraining(Settings):
    """One pretraining of encoder, projector and predictor, with the linear probes at its end."""

    data: DataName = "patches"
    size: int = Field(default=32, ge=8, le=32, multiple_of=8, description="pixels a side of an image")
    images: int = Field(default=0, ge=0, description="of the training split, evenly from all of it; 0: all")
    epochs: int = Field(default=101, ge=0, le=5000, description="0: the probes see the encoder as it was drawn")
    batch_size: int = Field(default=128, ge=2, le=8192, description="images a step; the rest of an epoch is dropped")

    encoder: Encoder = "resnet18"
    width: int = Field(default=64, ge=1, le=256, description="channels of the first layer; the features are 8 times it")
    hidden: int = Field(default=512, ge=1, le=8192, description="hidden units of projector and two-layer predictor")
    dim: int = Field(default=128, ge=4, le=4096, description="projector's outputs, the size of W_p")

    loss: Loss = Field(
        default="cosine", description="cosine: equation 1; the others are controls with neither predictor nor target"
    )
    target: Target = Field(default="ema", description="ema: BYOL; copied: SimSiam (tau = 0)")
    tau: float = Field(default=0.996, ge=0, lt=1, description="W_a = W_a + (1 - tau)(W - W_a), section 3.1")
    predictor: Predictor = "two_layer"
    symmetric: bool = Field(default=False, description="W_p is made symmetric after every step")
    update: Update = Field(default="sgd", description="directpred: W_p is set by equations 5 to 7, not trained")
    update_every: int = Field(
        default=1, ge=1, le=1000, description="steps from one closed form to the next; SGD between"
    )
    epsilon: float = Field(default=0.1, ge=0, le=10, description="equation 5")
    rho: float = Field(default=0.3, ge=0, lt=1, description="share of the old F that stays, equation 7")

    lr: float = Field(default=0.03, gt=0, le=100, description="alpha, of encoder and projector")
    lr_predictor: float | None = Field(default=None, gt=0, le=1000, description="alpha_pred; null: lr")
    schedule: Literal["constant", "cosine"] = Field(default="constant", description="of both rates, over all steps")
    warmup_epochs: int = Field(default=0, ge=0, le=1000, description="in which both rates rise from 0")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=4e-4, ge=0, le=1, description="L2, of everything that `decayed` names")
    weight_decay_predictor: float | None = Field(
        default=None, ge=0, le=1, description="eta_pred where the predictor's is another; null: weight_decay"
    )
    decayed: Decayed = Field(
        default="all",
        description="all: eta = eta_pred; predictor: eta = 0; none: both 0; heads: projector and predictor",
    )

    normalise: Literal["dataset", "image"] = Field(
        default="dataset",
        description="dataset: by CIFAR-10's mean and deviation; image: every view by its own, without its mean colour",
    )
    crop: float = Field(default=0.08, gt=0, le=1, description="smallest share of the area that a crop keeps")
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    snapshot_epochs: int = Field(default=5, ge=1, le=1000, description="epochs from one spectrum to the next")
    probe_epochs: int = Field(default=100, ge=1, le=1000, description="epochs of the paper's linear probe")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="fp32", description="of the encoder; heads, loss, F and spectra stay in fp32"
    )
    compile: bool = Field(default=False, description="torch.compile for the encoder")

    @model_validator(mode="after")
    def _fits(self) -> Pretraining:
        if self.update != "sgd" and self.predictor != "linear":
            raise ValueError(f"update {self.update} sets a linear predictor: write predictor: linear")
        if self.loss != "cosine" and (self.target, self.symmetric, self.update) != ("copied", False, "sgd"):
            raise ValueError(f"loss {self.loss} has neither target nor predictor: write target: copied and no more")
        if self.warmup_epochs > self.epochs > 0:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} is more than the {self.epochs} epochs")
        if self.data == "cifar10" and self.size != 32:
            raise ValueError("cifar10 has 32 pixels a side")
        if self.data == "patches" and self.size == 24:
            raise ValueError("patches come in 8, 16 or 32 pixels a side")
        return self


class LinearDynamics(Settings):
    """The linear model of section 3.2, equations 2 to 4, integrated with Euler steps. Names are the equations'."""

    units: int = Field(default=16, ge=2, le=256, description="sides of W, W_p and W_a")
    steps: int = Field(default=2000, ge=1, le=1_000_000)
    step_size: float = Field(default=0.1, gt=0, le=1, description="of an Euler step, in the equations' time")
    sigma: float = Field(default=0.1, ge=0, le=10, description="X = I and X' = sigma I, section 3.2")
    eta: float = Field(default=0.04, ge=0, le=1, description="weight decay")
    eta_acts_on: Literal["both", "predictor", "network"] = Field(
        default="both", description="both: equations 2 and 3; predictor: on W_p alone; network: on W alone"
    )
    alpha_p: float = Field(default=1.0, gt=0, le=1000, description="alpha_pred / alpha")
    target: Target = Field(default="copied", description="ema: W_a follows by equation 4; copied: W_a = W")
    beta: float = Field(default=0.1, gt=0, le=10, description="(1 - tau) / alpha, equation 4; read with target: ema")
    symmetric: bool = Field(default=False, description="W_p starts symmetric and positive")
    scale: float = Field(
        default=0.3, gt=0, le=10, description="W and W_p start as normal numbers times scale / sqrt(units)"
    )


def _reads(settings: Pretraining) -> list[str]:
    return [settings.data]


def _alone(settings: Pretraining, ranks: int) -> str:
    if settings.compile:
        return "its encoder is compiled, which was never tried with shared batches"
    if settings.loss != "cosine":
        return f"loss {settings.loss} compares all images of a batch with each other"
    return f"a batch of {settings.batch_size} does not divide among them" if settings.batch_size % ranks else ""


SPECTRA = {
    "dynamics/effective_rank": Metric(
        "exp of the entropy of F's normalised eigenvalues: 1 is rank collapse. F is the running one, uncentred",
        "higher",
    ),
    "dynamics/top_share": Metric("largest eigenvalue of F over their sum", "lower"),
    "dynamics/trace": Metric("sum of F's eigenvalues", None),
    "dynamics/alignment": Metric("cos(v, W_p v) over F's eigenvectors v, weighted by their eigenvalues", "higher"),
    "dynamics/alignment_live": Metric("mean |cos(v, W_p v)| over F's eigenvectors that are not nearly dead", "higher"),
    "dynamics/alignment_least": Metric("the least |cos(v, W_p v)| among those", "higher"),
    "dynamics/alignment_top16": Metric("mean of cos(v, W_p v) over F's 16 leading eigenvectors", "higher"),
    "dynamics/asymmetry": Metric("sum |W_p - W_p'| / sum |W_p|; sqrt(2) for independent entries", "lower"),
    "dynamics/asymmetry_l2": Metric("the same in Frobenius norms", "lower"),
    "dynamics/live": Metric("eigenvalues of W_p beyond 0.01 in size", None),
    **{f"dynamics/eig_f_{i}": Metric(f"eigenvalue {i} of F, counted from the largest", None) for i in (1, 2, 3)},
    "dynamics/eig_w_max": Metric("largest eigenvalue of W_p (real part)", None),
    "dynamics/eig_w_min": Metric("smallest eigenvalue of W_p (real part)", None),
}

MOMENTS = {"first": 0.0, "fifth": 0.2, "half": 0.5}
"""Where in a training the course of its spectra is told: the snapshot nearest to this share of the way from the first
to the last one. The paper's 101 epochs: 0, 20 and 50."""

COURSE = {
    f"course/{name}_{moment}": Metric(f"dynamics/{name} {where}", SPECTRA[f"dynamics/{name}"].better)
    for name in ("effective_rank", "asymmetry")
    for moment, where in (("first", "after the first epoch"), ("fifth", "a fifth in"), ("half", "half-way"))
}

FEATURES = {
    "probe/neighbours": Metric("labels held back from training images, told by their nearest others", "higher", "%"),
    "features/rankme": Metric("RankMe: exp of the entropy of the features' singular values", "higher"),
    "features/rankme_centred": Metric("the same after the mean feature is taken away", "higher"),
}
"""Of the encoder, measured with every spectrum."""

WHOLE = {
    "whole/effective_rank": Metric(
        "effective rank of the covariance of the projector's outputs over an epoch's views of every training image",
        "higher",
    ),
    "whole/effective_rank_uncentred": Metric("the same of their second moment, as F is", "higher"),
    "whole/top_share": Metric("largest eigenvalue of that covariance over their sum", "lower"),
    "whole/spread": Metric("deviation of the outputs' directions times sqrt(d): 1 is even, 0 a single point", "higher"),
}
"""Of the trained network and every training image, at the end: F itself spans a batch or two."""

DECAY = {
    f"decay/{part}": Metric(f"decay times that L2 had on the {part}: lr x decay x steps / (1 - momentum)", None)
    for part in ("encoder", "predictor")
}

PROBES = {
    "probe/lbfgs": Metric("test accuracy of the deterministic linear probe (L-BFGS)", "higher", "%"),
    "probe/adam": Metric("test accuracy of the paper's linear probe (section 4), last epoch", "higher", "%"),
    "probe/held_out": Metric(
        "accuracy of the deterministic probe on training images whose labels it has not seen: for choosing settings",
        "higher",
        "%",
    ),
}

TASKS = [
    TaskSpec(
        name="siamese",
        settings=Pretraining,
        make="retable.models.siamese.pretrain:make",
        metrics={
            "loss/total": Metric("sum of the two negative cosines (equation 1), -2 to 2; a control's own loss"),
            **SPECTRA,
            **COURSE,
            **FEATURES,
            **WHOLE,
            **DECAY,
            **PROBES,
        },
        objective="probe/held_out",
        data=_reads,
        alone=_alone,
    ),
    TaskSpec(
        name="siamese_linear",
        settings=LinearDynamics,
        make="retable.models.siamese.linear:make",
        metrics={
            "loss/total": Metric("expected squared distance of prediction and target, halved"),
            "linear/modes": Metric("eigenvalues of F = W X W' beyond 0.001", "higher"),
            "linear/asymmetry": Metric("sum |W_p - W_p'| / sum |W_p|", "lower"),
            "linear/alignment": Metric("mean cos(v, W_p v) over the eigenvectors v of F that survive", "higher"),
            "linear/fixpoint_error": Metric("largest distance of a surviving eigenvalue of W_p from the predicted one"),
        },
        objective="loss/total",
        data=lambda settings: [],
    ),
]
