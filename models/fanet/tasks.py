"""The tasks that train: segmentation by three methods, and classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from retable.bench.data.zerowaste import CLASSES, IGNORE
from retable.bench.task import Context, Evaluation, State
from retable.models import parallel
from retable.models.fanet import (
    Classification,
    CrossConsistency,
    RegionalContrast,
    Segmentation,
    Supervised,
    augment,
    frames,
    metrics,
    networks,
    optim,
    pictures,
)
from retable.models.fanet.stream import Stream


class Method(Protocol):
    """What differs between supervised and semi-supervised training. Also an `nn.Module`, which holds its state."""

    @property
    def network(self) -> nn.Module: ...

    def losses(self, images_B3HW: Tensor, masks_BHW: Tensor, unlabelled: Any, progress: float) -> dict[str, Tensor]: ...

    def after_step(self) -> None: ...


def supervised(settings: Supervised, context: Context) -> SegmentationTask:
    """Task `waste_segmentation`."""
    from retable.models.fanet.supervised import SupervisedMethod

    train = frames.split(settings, "train")
    weights = frames.class_weights(train) if settings.class_weights == "median" else None
    method = SupervisedMethod(networks.segmenter(settings, len(CLASSES)), settings, weights, context.ranks)
    task = SegmentationTask(settings, context, method, train)
    if settings.compile == "on":
        networks.compile_parts(method.network)
    return task


def cct(settings: CrossConsistency, context: Context) -> SegmentationTask:
    """Task `waste_segmentation_cct`."""
    from retable.models.fanet.cct import CrossConsistencyMethod

    method = CrossConsistencyMethod(settings, len(CLASSES))
    return SegmentationTask(settings, context, method, frames.split(settings, "train"), frames.unlabelled(settings))


def reco(settings: RegionalContrast, context: Context) -> SegmentationTask:
    """Task `waste_segmentation_reco`."""
    from retable.models.fanet.reco import RegionalContrastMethod

    method = RegionalContrastMethod(settings, len(CLASSES))
    return SegmentationTask(settings, context, method, frames.split(settings, "train"), frames.unlabelled(settings))


def classification(settings: Classification, context: Context) -> Any:
    """Task `waste_pretraining`."""
    from retable.models.fanet.classification import ClassificationTask

    return ClassificationTask(settings, context)


class SegmentationTask:
    """Training on crops, evaluation on whole frames with one confusion matrix over the split."""

    def __init__(
        self,
        settings: Segmentation,
        context: Context,
        method: Method,
        train: frames.Frames,
        unlabelled: frames.Frames | None = None,
    ) -> None:
        self.settings, self.steps, self.device = settings, settings.steps, context.device
        self.method = method
        self.module = cast(nn.Module, method)
        if context.start is not None:
            networks.load_backbone(method.network, context.start)
        self.seed, self.rank, self.ranks, places = context.seed, context.rank, context.ranks, None
        if self.ranks > 1:
            parallel.synchronise_(self.module)
            places = parallel.share(settings.batch_size, self.rank, self.ranks)
        networks.to_device(self.module, context.device)
        self.optimizer = optim.optimizer(settings, (p for p in self.module.parameters() if p.requires_grad))
        batches = frames.Batches(train, settings.batch_size, frames.recipe(settings), context.seed, places)
        self.batches = Stream(batches, settings.steps, settings.workers)
        self.unlabelled: Stream[Any] | None = None
        if unlabelled is not None:
            # Another order than that of the labelled frames.
            more = frames.Batches(unlabelled, settings.batch_size, frames.recipe(settings), context.seed + 10_000)
            self.unlabelled = Stream(more, settings.steps, settings.workers)
        self.best: dict[str, Any] = {"miou": -1.0, "network": {}}

    def step(self, index: int) -> Mapping[str, Tensor]:
        s = self.settings
        optim.set_rate(self.optimizer, optim.rate(s, index))
        if self.ranks > 1:
            parallel.reseed(self.seed, index, self.rank)
        images, masks = self.batches[index]
        unlabelled = augment.normalised(self.unlabelled[index][0], self.device) if self.unlabelled else None
        self.module.train()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=s.precision == "bf16"):
            losses = self.method.losses(
                augment.normalised(images, self.device),
                torch.from_numpy(masks).to(self.device).long(),
                unlabelled,
                index / s.steps,
            )
        self.optimizer.zero_grad()
        losses["loss/total"].backward()  # type: ignore[no-untyped-call]
        found = {name: value.detach() for name, value in losses.items()}
        if self.ranks > 1:
            parallel.average_gradients_(self.optimizer)
            parallel.average_(found.values())
        self.optimizer.step()
        self.method.after_step()
        if s.keep == "best" and self.rank == 0 and ((index + 1) % s.validate_every == 0 or index + 1 == s.steps):
            self._validate()
        return found

    def evaluate(self) -> Evaluation:
        s, network = self.settings, self.method.network
        last = {k: v.clone() for k, v in network.state_dict().items()}
        more: dict[str, float] = {}
        if s.keep == "best":
            network.load_state_dict(self.best["network"])
            more["quality/val_miou"] = self.best["miou"]
        split = frames.split(s, s.split)
        matrix = evaluate(network, split, s, self.device)
        shown = _pictures(network, split, s, self.device)
        model = {"network": {k: v.detach().cpu() for k, v in network.state_dict().items()}}
        size = (s.crop_height // 32 * 32 or 32, s.crop_width // 32 * 32 or 32)
        cost = {"cost/parameters": networks.parameters(network), "cost/macs": networks.macs(network, *size)}
        network.load_state_dict(last)
        return Evaluation(
            metrics={**metrics.named(metrics.scores(matrix), CLASSES), **more, **cost},
            images=shown,
            arrays={"confusion": {"pixels": matrix.numpy().astype(np.float64)}},
            model=model,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"method": self.module.state_dict(), "optimizer": self.optimizer.state_dict(), "best": self.best}

    def load_state_dict(self, state: State) -> None:
        self.module.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = dict(state["best"])

    def _validate(self) -> None:
        matrix = evaluate(self.method.network, frames.split(self.settings, "val"), self.settings, self.device)
        miou = metrics.scores(matrix).miou
        if miou > self.best["miou"]:
            network = {k: v.detach().clone() for k, v in self.method.network.state_dict().items()}
            self.best = {"miou": miou, "network": network}


def predict(network: nn.Module, frame: np.ndarray, settings: Segmentation, device: str) -> Tensor:
    """Class of every pixel, int64 [H, W], of a whole frame uint8 [H, W, 3].

    The frame is scaled as the settings say, each side up to a multiple of `divisor`; the scores are scaled back.
    """
    bounds = (settings.resize_long, settings.resize_short) if settings.resize == "bounds" else None
    size = augment.test_size(frame.shape, bounds, settings.divisor)
    image_13HW = augment.normalised(augment.resized(frame, size)[None], device)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=settings.precision == "bf16"):
        scores: Tensor = network(image_13HW)
    scores = nn.functional.interpolate(scores.float(), frame.shape[:2], mode="bilinear", align_corners=False)
    return scores[0].argmax(0)


@torch.no_grad()
def evaluate(network: nn.Module, split: frames.Frames, settings: Segmentation, device: str) -> Tensor:
    """Confusion matrix of whole frames over a split, int64 [K, K] on the CPU; rows predicted, columns true."""
    network.eval()
    matrix = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64)
    for index in range(len(split)):
        frame, mask = split[index]
        truth = torch.from_numpy(mask).to(device)
        matrix += metrics.confusion(predict(network, frame, settings, device), truth, len(CLASSES), IGNORE).cpu()
    return matrix


@torch.no_grad()
def _pictures(network: nn.Module, split: frames.Frames, settings: Segmentation, device: str) -> dict[str, np.ndarray]:
    """Figures 5 and 6: frames, truth, prediction, and what the refinement module of the third stage sees and says."""
    network.eval()
    found: dict[str, list[np.ndarray]] = {}
    for index in range(min(settings.pictures, len(split))):
        frame, mask = split[index]
        with pictures.refinement(network) as maps:
            prediction = predict(network, frame, settings, device).cpu().numpy()
        shown = {
            "input": frame,
            "truth": pictures.overlay(frame, mask),
            "prediction": pictures.overlay(frame, prediction),
            **{f"refinement-{name}": pictures.heat(features[0], mask.shape) for name, features in maps.items()},
        }
        for name, picture in shown.items():
            found.setdefault(name, []).append(picture)
    return {name: pictures.column(several) for name, several in found.items()}
