"""CCT, table 1's first row: one encoder, a main decoder, and auxiliary decoders that see its features perturbed.

Source: Ouali, Hudelot and Tami, "Semi-supervised semantic segmentation with cross-consistency training", CVPR 2020:
section 3.1 (the losses), section 3.2 (the perturbations and their numbers), section 4.1 (ResNet-50 with
pyramid pooling, sub-pixel upsampling). Its supervised loss is read as plain cross-entropy.

Shape suffixes: B batch, C channels, K classes, H height, W width (of images), h, w (of features).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retable.models.fanet import CrossConsistency, networks, optim
from retable.models.fanet.upernet import POOLS, conv_bn_relu, resize

STRIDE = 8
XI, RADIUS = 0.1, 2.0
"""Of the adversarial perturbation: size of the probing step (the gradient goes with it, and that of a much smaller
one is lost in the rounding of float32), size of the perturbation."""

CUT = 0.4
"""Share of a region's sides that guided cut-out removes."""

Perturbation = Callable[[Tensor, Tensor, nn.Module], Tensor]
"""(features, predicted classes at their size, the auxiliary decoder) -> perturbed features."""


class CrossConsistencyMethod(nn.Module):
    """The shared encoder with its decoders, and their losses. `network` is what is evaluated."""

    def __init__(self, settings: CrossConsistency, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.network = Network(settings.encoder, settings.decoder_channels, classes)
        counts = {
            feature_dropout: settings.feature_dropouts,
            feature_noise: settings.feature_noises,
            spatial_dropout: settings.spatial_dropouts,
            guided_cutout: settings.cutouts,
            context_mask: settings.context_masks,
            object_mask: settings.object_masks,
            adversarial: settings.adversarial,
        }
        self.perturbations: list[Perturbation] = [p for p, count in counts.items() for _ in range(count)]
        self.decoders = nn.ModuleList(decoder(settings.decoder_channels, classes) for _ in self.perturbations)

    def losses(
        self, images_B3HW: Tensor, masks_BHW: Tensor, unlabelled_B3HW: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Scalars by metric name. progress: share of the training done, for the ramp of the unsupervised weight."""
        supervised = optim.cross_entropy(self.network(images_B3HW), masks_BHW)
        z_BChw = self.network.encode(unlabelled_B3HW)
        scores_BKhw = self.network.decoder(z_BChw)
        target_BKhw = scores_BKhw.softmax(1).detach()
        classes_Bhw = F.interpolate(target_BKhw, size=z_BChw.shape[-2:]).argmax(1)
        apart = [
            F.mse_loss(decode(perturb(z_BChw, classes_Bhw, decode)).softmax(1), target_BKhw)
            for perturb, decode in zip(self.perturbations, self.decoders, strict=True)
        ]
        consistency = torch.stack(apart).mean() if apart else supervised.new_zeros(())
        total = supervised + self.settings.unsupervised_weight * ramp(progress, self.settings.ramp) * consistency
        return {"loss/total": total, "loss/supervised": supervised, "loss/consistency": consistency}

    def after_step(self) -> None:
        """Nothing follows an update."""


class Network(nn.Module):
    """Encoder, pyramid pooling and main decoder: images [B, 3, H, W] to scores [B, K, H, W]."""

    def __init__(self, encoder: str, channels: int, classes: int) -> None:
        super().__init__()
        self.encoder, widths = networks.encoder(encoder, STRIDE)
        self.pools = nn.ModuleList(conv_bn_relu(widths[-1], widths[-1] // len(POOLS), 1) for _ in POOLS)
        pooled = widths[-1] + len(POOLS) * (widths[-1] // len(POOLS))
        self.bottleneck = conv_bn_relu(pooled, channels, 3)
        self.decoder = decoder(channels, classes)

    def encode(self, x_B3HW: Tensor) -> Tensor:
        """Features z of section 3.1: [B, C, H / 8, W / 8]."""
        last = self.encoder(x_B3HW)[-1]
        pyramid = [
            resize(conv(F.adaptive_avg_pool2d(last, size)), last) for size, conv in zip(POOLS, self.pools, strict=True)
        ]
        z_BChw: Tensor = self.bottleneck(torch.cat([last, *pyramid], dim=1))
        return z_BChw

    def forward(self, x_B3HW: Tensor) -> Tensor:
        return resize(self.decoder(self.encode(x_B3HW)), x_B3HW)


def decoder(channels: int, classes: int) -> nn.Sequential:
    """Scores by a 1x1 convolution, then sub-pixel upsampling by two for each power of the stride.

    Weights are drawn so that each step begins as nearest-neighbour upsampling and the signal keeps its size through
    the ReLUs (Aitken et al. 2017, He et al. 2015; so does the released code). With torch's default it hardly starts.
    The ReLU behind the last step is the released code's too: a class whose scores sink below 0 in training is lost.
    """
    score = nn.Conv2d(channels, classes, 1)
    nn.init.kaiming_normal_(score.weight)
    layers: list[nn.Module] = [score]
    for _ in range(int(math.log2(STRIDE))):
        widen = nn.Conv2d(classes, 4 * classes, 1)
        with torch.no_grad():
            widen.weight.copy_(nn.init.kaiming_normal_(widen.weight[:classes].clone()).repeat_interleave(4, dim=0))
            nn.init.zeros_(widen.bias)  # type: ignore[arg-type]
        layers += [widen, nn.ReLU(), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


def ramp(progress: float, length: float) -> float:
    """The weight's growth exp(-5 (1 - t)^2) over the first `length` of the training, then 1."""
    return 1.0 if length == 0 or progress >= length else math.exp(-5 * (1 - progress / length) ** 2)


def feature_noise(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """F-Noise: every feature times one plus a number from [-0.3, 0.3], the same for all images."""
    return z_BChw * (1 + torch.empty_like(z_BChw[0]).uniform_(-0.3, 0.3))


def feature_dropout(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """F-Drop: the positions with the largest mean feature, above 0.6 to 0.9 of the largest, are set to 0."""
    strength_B1hw = z_BChw.mean(1, keepdim=True)
    largest = strength_B1hw.amax((2, 3), keepdim=True).clamp(min=1e-12)
    bound = torch.empty((), device=z_BChw.device).uniform_(0.6, 0.9)
    return z_BChw * (strength_B1hw / largest < bound)


def spatial_dropout(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """DropOut: half of the channels."""
    return F.dropout2d(z_BChw, 0.5)


def object_mask(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """Obj-Msk: what is predicted to be an object is set to 0."""
    return z_BChw * (classes_Bhw == 0)[:, None]


def context_mask(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """Con-Msk: what is predicted to be background is set to 0."""
    return z_BChw * (classes_Bhw != 0)[:, None]


def guided_cutout(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """G-Cutout: a random part of the box around each predicted class of objects is set to 0."""
    keep_B1hw = torch.ones_like(z_BChw[:, :1])
    for image, classes_hw in enumerate(classes_Bhw):
        for kind in classes_hw.flatten().bincount().nonzero()[:, 0].tolist():
            if kind == 0:
                continue
            ys, xs = torch.nonzero(classes_hw == kind, as_tuple=True)
            top, height = _part(int(ys.min()), int(ys.max()) + 1)
            left, width = _part(int(xs.min()), int(xs.max()) + 1)
            keep_B1hw[image, 0, top : top + height, left : left + width] = 0
    return z_BChw * keep_B1hw


def _part(start: int, stop: int) -> tuple[int, int]:
    """A random piece, `CUT` long, of an interval: where it starts and its length."""
    length = max(1, int(CUT * (stop - start)))
    return start + int(torch.randint(0, stop - start - length + 1, ())), length


def adversarial(z_BChw: Tensor, classes_Bhw: Tensor, decode: nn.Module) -> Tensor:
    """I-VAT: the small change of the features that changes this decoder's output most (one power iteration)."""
    z_BChw = z_BChw.detach() if not z_BChw.requires_grad else z_BChw
    fixed = z_BChw.detach()
    with torch.no_grad():
        before = decode(fixed).softmax(1)
    probe = _unit(torch.rand_like(fixed) - 0.5).requires_grad_()
    after = decode(fixed + XI * probe).log_softmax(1)
    (gradient,) = torch.autograd.grad(F.kl_div(after, before, reduction="batchmean"), probe)
    return z_BChw + RADIUS * _unit(gradient)


def _unit(x_BChw: Tensor) -> Tensor:
    norm_B = torch.linalg.vector_norm(x_BChw.flatten(1), dim=1).clamp(min=1e-12)
    out: Tensor = x_BChw / norm_B[:, None, None, None]
    return out
