"""ReCo, table 1's second row: pseudo-labels of a mean teacher, mixed by class, and regional contrast.

Source: Liu et al., "Bootstrapping semantic segmentation with regional contrast", ICLR 2022: section 3.2 (the loss,
equation 1), section 3.3 (active sampling of hard queries and of negatives by a relation graph), section 3.4 (teacher,
confidence thresholds, ClassMix). Written from the paper alone.

Shape suffixes: B batch, C channels, K classes, H height, W width, h, w (of the representation), N pixels.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.bench.data.zerowaste import IGNORE
from retable.models.fanet import RegionalContrast, networks, optim
from retable.models.fanet.upernet import conv_bn_relu, resize


class RegionalContrastMethod(nn.Module):
    """Student, teacher and their losses. `network` is the student, which is evaluated."""

    def __init__(self, settings: RegionalContrast, classes: int) -> None:
        super().__init__()
        self.settings = settings
        width = settings.decoder_channels
        self.network = networks.deeplab(settings.encoder, classes, width, settings.dropout)
        self.represent = nn.Sequential(conv_bn_relu(width, width, 3), nn.Conv2d(width, settings.embedding, 1))
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)
        self.updates: Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def losses(
        self, images_B3HW: Tensor, masks_BHW: Tensor, unlabelled_B3HW: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Scalars by metric name. Both batches have one size; `progress` is other methods'."""
        s = self.settings
        with torch.no_grad():
            confidence_BHW, pseudo_BHW = self.teacher(unlabelled_B3HW).softmax(1).max(1)
        mixed_B3HW, pseudo_BHW, confidence_BHW = class_mix(unlabelled_B3HW, pseudo_BHW, confidence_BHW)

        scores, representation = self._both(images_B3HW)
        scores_u, representation_u = self._both(mixed_B3HW)
        supervised = optim.cross_entropy(scores, masks_BHW)
        # Section 3.4: weighted by the share of each frame that the teacher is sure of.
        share_B = (confidence_BHW >= s.strong).float().mean((1, 2))
        per_pixel = F.cross_entropy(scores_u.float(), pseudo_BHW, reduction="none")
        pseudo = (share_B[:, None, None] * per_pixel).mean()

        labels = torch.cat([masks_BHW, pseudo_BHW.masked_fill(confidence_BHW < s.weak, IGNORE)])
        sure = torch.cat([scores, scores_u]).detach().softmax(1)
        contrast = contrastive(torch.cat([representation, representation_u]), labels, sure, s)
        total = supervised + pseudo + contrast
        return {"loss/total": total, "loss/supervised": supervised, "loss/pseudo": pseudo, "loss/contrast": contrast}

    def after_step(self) -> None:
        """Move the teacher: an average over the updates so far, until `ema` makes it a moving one."""
        self.updates += 1
        decay = min(1 - 1 / (1 + int(self.updates)), self.settings.ema)
        with torch.no_grad():
            for mean, weight in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
            for old, new in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
                old.copy_(new)

    def _both(self, x_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Scores at the image's size and unit representations at the decoder's."""
        net = cast(Any, self.network)
        decoded = net.decoder(net.encoder(x_B3HW))
        return resize(net.segmentation_head(decoded), x_B3HW), F.normalize(self.represent(decoded), dim=1)


def contrastive(rep_BChw: Tensor, labels_BHW: Tensor, sure_BKHW: Tensor, settings: RegionalContrast) -> Tensor:
    """Equation 1 over hard queries (section 3.3); a scalar, 0 when fewer than two classes are there.

    rep: unit vectors. labels: class or `IGNORE`. sure: the student's probabilities, at the labels' size.
    """
    size = rep_BChw.shape[-2:]
    labels_N = F.interpolate(labels_BHW[:, None].float(), size=size)[:, 0].flatten().long()
    sure_NK = F.interpolate(sure_BKHW, size=size, mode="bilinear").permute(0, 2, 3, 1).flatten(0, 2)
    rep_NC = rep_BChw.permute(0, 2, 3, 1).flatten(0, 2)
    present = [k for k in labels_N.bincount().nonzero()[:, 0].tolist() if k != IGNORE]
    if len(present) < 2:
        return rep_BChw.sum() * 0
    members = [torch.nonzero(labels_N == k)[:, 0] for k in present]
    keys_PC = torch.stack([rep_NC[m].mean(0) for m in members]).detach()
    relation_PP = F.normalize(keys_PC, dim=1) @ F.normalize(keys_PC, dim=1).T

    losses = []
    for place, (kind, own) in enumerate(zip(present, members, strict=True)):
        hard = own[sure_NK[own, kind] < settings.strong]
        if not len(hard):
            continue
        query_QC = rep_NC[hard[torch.randint(len(hard), (settings.queries,), device=hard.device)]]
        with torch.no_grad():
            negative = _negatives(place, relation_PP, members, settings)
            keys_QnC = rep_NC[negative]
        positive_Q1 = (query_QC @ F.normalize(keys_PC[place], dim=0))[:, None]
        negative_Qn = torch.einsum("qc,qnc->qn", query_QC, keys_QnC)
        logits = torch.cat([positive_Q1, negative_Qn], dim=1) / settings.temperature
        losses.append(F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device)))
    return torch.stack(losses).mean() if losses else rep_BChw.sum() * 0


def _negatives(place: int, relation_PP: Tensor, members: list[Tensor], settings: RegionalContrast) -> Tensor:
    """Pixels [queries, negatives] of other classes, drawn more often from those whose mean is alike."""
    others = [i for i in range(len(members)) if i != place]
    chance = (relation_PP[place, others] / settings.temperature).softmax(0)
    picked = torch.multinomial(chance, settings.queries * settings.negatives, replacement=True)
    found = torch.empty_like(picked)
    for i, other in enumerate(others):
        mine = torch.nonzero(picked == i)[:, 0]
        found[mine] = members[other][torch.randint(len(members[other]), (len(mine),), device=mine.device)]
    return found.reshape(settings.queries, settings.negatives)


def class_mix(images_B3HW: Tensor, labels_BHW: Tensor, sure_BHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ClassMix (Olsson et al. 2021): half of each frame's classes, pasted onto the next frame of the batch."""
    pasted = torch.zeros_like(labels_BHW, dtype=torch.bool)
    for i, labels_HW in enumerate(labels_BHW):
        kinds = torch.bincount(labels_HW.flatten()).nonzero()[:, 0]
        half = kinds[torch.randperm(len(kinds), device=kinds.device)[: (len(kinds) + 1) // 2]]
        pasted[i] = torch.isin(labels_HW, half)
    return (
        torch.where(pasted[:, None], images_B3HW, images_B3HW.roll(1, 0)),
        torch.where(pasted, labels_BHW, labels_BHW.roll(1, 0)),
        torch.where(pasted, sure_BHW, sure_BHW.roll(1, 0)),
    )
