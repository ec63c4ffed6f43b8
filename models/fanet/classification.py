"""Pretraining as a classifier, section 4.2 and table 4: task `waste_pretraining`.

The paper gives epochs, rate, decay and batch; what else such a recipe needs (mixing, RandAugment, erasing, label
smoothing, warm-up) is that of the works it says it follows (Swin, VAN), through timm. Ends with the backbone's
weights, which segmentation starts from.

Shape suffixes: B batch, K classes, S side of the images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retable.bench.data import imagefolder, vision
from retable.bench.data.decode import read_rgb
from retable.bench.task import Context, Evaluation, State
from retable.models import parallel
from retable.models.fanet import Classification, networks, optim, stream

EVALUATION_BATCH = 64


class ClassificationTask:
    """Cross-entropy against mixed and smoothed labels; top-1 accuracy on whole validation images, centre cropped."""

    def __init__(self, settings: Classification, context: Context) -> None:
        self.settings, self.device = settings, context.device
        train = imagefolder.listing(settings.data, "train")
        self.per_epoch = max(1, len(train.files) // settings.batch_size)
        self.steps = settings.epochs * self.per_epoch
        self.network = networks.classifier(settings, len(train.classes))
        self.seed, self.rank, self.ranks, places = context.seed, context.rank, context.ranks, None
        if self.ranks > 1:
            parallel.synchronise_(self.network)
            places = mirrored(settings.batch_size, settings.micro_batch, self.rank, self.ranks)
        networks.to_device(self.network, context.device)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]  # norms and biases
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=settings.lr,
            fused=True,
        )
        self.batches = stream.Stream(Batches(train, settings, context.seed, places), self.steps, settings.workers)

    def step(self, index: int) -> Mapping[str, Tensor]:
        s = self.settings
        optim.set_rate(self.optimizer, self.rate(index))
        if self.ranks > 1:
            parallel.reseed(self.seed, index, self.rank)
        images, targets = self.batches[index]
        self.network.train()
        self.optimizer.zero_grad()
        size = s.micro_batch // self.ranks or len(images)
        total = torch.zeros((), device=self.device)
        for first in range(0, len(images), size):
            part_B3SS = images[first : first + size].to(self.device, memory_format=torch.channels_last)
            target_BK = targets[first : first + size].to(self.device)
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=s.precision == "bf16"):
                scores = self.network(part_B3SS)
            loss = -(target_BK * scores.float().log_softmax(1)).sum() / len(images)
            loss.backward()
            total += loss.detach()
        if self.ranks > 1:
            parallel.average_gradients_(self.optimizer)
            parallel.average_([total])
        self.optimizer.step()
        return {"loss/total": total}

    def rate(self, step: int) -> float:
        """Learning rate of update `step`: linear warm-up, then a half cosine down to `min_lr`."""
        s = self.settings
        warm = s.warmup_epochs * self.per_epoch
        if step < warm:
            return s.warmup_lr + (s.lr - s.warmup_lr) * step / warm
        progress = (step - warm) / max(1, self.steps - warm)
        return s.min_lr + (s.lr - s.min_lr) * (1 + math.cos(math.pi * progress)) / 2

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        s = self.settings
        found = imagefolder.listing(s.data, "val")
        transform = _transform(s.image_size, False, s.augment, s.crop_share)
        self.network.eval()
        right = 0
        for first in range(0, len(found.files), EVALUATION_BATCH):
            files = found.files[first : first + EVALUATION_BATCH]
            images_B3SS = torch.stack([transform(read_rgb(file)) for file in files])
            guess_B = self.network(images_B3SS.to(self.device, memory_format=torch.channels_last)).argmax(1).cpu()
            right += int((guess_B == torch.tensor(found.labels[first : first + EVALUATION_BATCH])).sum())
        model = {"backbone": {k: v.detach().cpu() for k, v in self.network.state_dict().items()}}
        return Evaluation(metrics={"quality/top1": 100 * right / len(found.files)}, model=model)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


@dataclass(frozen=True)
class Batches:
    """Training batches as a function of the step: float32 images [B, 3, S, S] and label weights [B, K].

    seed: of order and augmentation. places: those of each batch that are made; None: all. A place is mixed with the
    one that mirrors it (`mirrored`), and what is drawn for an image does not depend on the others.
    """

    listing: imagefolder.Listing
    settings: Classification
    seed: int
    places: Sequence[int] | None = None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        s = self.settings
        picked = stream.chosen(step, s.batch_size, len(self.listing.files), self.seed)
        transform = _transform(s.image_size, True, s.augment, s.crop_share)
        places = range(len(picked)) if self.places is None else self.places
        images = []
        for place in places:
            with _seeded(self.seed, step, place):
                images.append(transform(read_rgb(self.listing.files[picked[place]])))
        with _seeded(self.seed, step):
            return self._mixed(torch.stack(images), torch.tensor([self.listing.labels[picked[p]] for p in places]))

    def _mixed(self, images_B3SS: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        s, classes = self.settings, len(self.listing.classes)
        if s.augment == "full" and (s.mixup or s.cutmix) and len(images_B3SS) % 2 == 0:
            from timm.data import Mixup

            mix = Mixup(mixup_alpha=s.mixup, cutmix_alpha=s.cutmix, label_smoothing=s.smoothing, num_classes=classes)
            mixed, targets = mix(images_B3SS, labels_B)
            return mixed, targets.float()
        hot = F.one_hot(labels_B, classes).float()
        return images_B3SS, hot * (1 - s.smoothing) + s.smoothing / classes


def mirrored(batch: int, micro_batch: int, rank: int, ranks: int) -> list[int]:
    """The places of a batch that process `rank` of `ranks` takes: with each the one that mirrors it, since mixing adds
    a batch to its reverse, and of each `micro_batch` (0: the whole) as many. `ranks` pairs divide a micro-batch."""
    part = micro_batch or batch
    half = part // (2 * ranks)
    first = [rank * half + i for i in range(half)]
    own = first + [part - 1 - i for i in reversed(first)]
    return [start + i for start in range(0, batch, part) for i in own]


@lru_cache(maxsize=4)
def _transform(size: int, training: bool, augment: str, crop_share: float) -> Any:
    """timm's transform of a Pillow image to a normalised tensor [3, S, S]."""
    vision.torchvision()
    from timm.data import create_transform

    if not training:
        return create_transform(size, is_training=False, interpolation="bicubic", crop_pct=crop_share)
    full = augment == "full"
    return create_transform(
        size,
        is_training=True,
        interpolation="bicubic",
        auto_augment="rand-m9-mstd0.5-inc1" if full else None,
        color_jitter=None,
        re_prob=0.25 if full else 0.0,
    )


@contextmanager
def _seeded(*seed: int) -> Iterator[None]:
    """Seeds the global generators, which timm's transforms draw from, and gives them back as they were."""
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    word = int(np.random.default_rng(seed).integers(2**31))
    random.seed(word)
    np.random.seed(word)
    torch.manual_seed(word)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)
        torch.set_rng_state(torch_)
