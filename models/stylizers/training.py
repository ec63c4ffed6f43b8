"""Training the decoders of AdaIN, WCT and the photorealistic WCT, encoder frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retable.bench.task import Context, Evaluation, State
from retable.models import precision
from retable.models.precision import computation_dtype
from retable.models.stylizers import Decoder as Settings
from retable.models.stylizers import transforms
from retable.models.stylizers.decoders import LEVELS, Decoder, Encoder, encoder, pooling_places
from retable.models.transfer import data


class DecoderTask:
    """The task `decoder`, for one of the three methods."""

    def __init__(self, settings: Settings, context: Context) -> None:
        s = self.settings = settings
        self.steps, self.device = s.steps, context.device
        self.dtype = computation_dtype(s.precision, self.device)
        self.vgg = encoder_of(s, self.device, self.dtype)
        self.images = data.training_images(s.data, s.size, s.images, s.held_out, context.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            nets = decoders_of(s)
        self.decoders = nets.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.decoders.parameters(), lr=s.lr)
        self.generator = torch.Generator().manual_seed(context.seed)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return precision.facts(self.dtype, self.vgg.network.as_dict())

    def step(self, index: int) -> Mapping[str, Tensor]:
        """One batch; the loss before the update."""
        s = self.settings
        which = torch.randint(len(self.images), (2, s.batch_size), generator=self.generator).numpy()
        content, style = (data.tensor(self.images[w]) for w in which)
        if s.recolour:
            content, style = (data.recoloured(images, self.generator) for images in (content, style))
        loss = self.loss(content.to(self.device), style.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = s.lr / (1 + s.lr_decay * index)
        self.optimizer.step()
        return {"loss/total": loss.detach()}

    def loss(self, content_B3HW: Tensor, style_B3HW: Tensor) -> Tensor:
        """The method's own training loss, a scalar. WCT's decoders only rebuild the contents."""
        if self.settings.method == "adain":
            return self._adain_loss(content_B3HW, style_B3HW)
        return self._reconstruction_loss(content_B3HW)

    def evaluate(self) -> Evaluation:
        """The loss on held-out images, and one of them rebuilt from the deepest level."""
        s = self.settings
        contents, styles = data.validation_pairs(s.data, s.size, s.held_out)
        total = 0.0
        with torch.no_grad():
            for start in range(0, s.held_out, s.batch_size):
                content = data.tensor(contents[start : start + s.batch_size], self.device)
                style = data.tensor(styles[start : start + s.batch_size], self.device)
                total += float(self.loss(content, style)) * len(content)
            content = data.tensor(contents[:1], self.device)
            level = max(levels_of(s))
            with self._autocast():
                rebuilt = rebuild(self.vgg, self.decoders[str(level)], content, level)
        metrics = {
            "loss/held_out": total / s.held_out,
            "model/parameters": float(sum(p.numel() for p in self.decoders.parameters())),
        }
        images = {"content": data.pixels(content), "rebuilt": data.pixels(rebuilt)}
        model = {"decoders": self.decoders.state_dict(), "settings": s.model_dump()}
        return Evaluation(metrics, images, {}, model)

    def state_dict(self) -> dict[str, Any]:
        return {
            "decoders": self.decoders.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: State) -> None:
        self.decoders.load_state_dict(state["decoders"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))
        self.generator.set_state(state["generator"])

    def _adain_loss(self, content_B3HW: Tensor, style_B3HW: Tensor) -> Tensor:
        """Huang and Belongie, equations 11 to 13: content against the AdaIN target itself, style by statistics."""
        h, w = content_B3HW.shape[-2:]
        names = LEVELS[: self.settings.levels]
        with torch.no_grad():
            content = self.vgg(content_B3HW, names[-1:])[names[-1]]
            style = self.vgg(style_B3HW, names)
            target = transforms.adain(content, style[names[-1]])
        with self._autocast():
            image = self.decoders[str(self.settings.levels)](target.to(self.dtype), h, w)
        found = self.vgg(image, names)
        loss = (found[names[-1]].float() - target).square().mean()
        for name in names:
            for mine, its in zip(
                transforms.statistics(found[name]), transforms.statistics(style[name].detach()), strict=True
            ):
                loss = loss + self.settings.style_weight * (mine - its).square().mean()
        return loss

    def _reconstruction_loss(self, image_B3HW: Tensor) -> Tensor:
        """Li et al. 2017, equation 1, summed over the levels: pixels, and features of the same level."""
        s = self.settings
        levels = levels_of(s)
        total = torch.zeros((), device=self.device)
        with torch.no_grad():
            features = self.vgg(image_B3HW, [LEVELS[level - 1] for level in levels])
            places = pooling_places(self.vgg, image_B3HW, max(levels)) if s.method == "photo_wct" else []
        for level in levels:
            target = features[LEVELS[level - 1]]
            with self._autocast():
                image = self.decoders[str(level)](target, *image_B3HW.shape[-2:], places[: level - 1])
            total = total + (image - image_B3HW).square().mean()
            if s.feature_weight:
                again = self.vgg(image, [LEVELS[level - 1]])[LEVELS[level - 1]]
                unit = target.float().square().mean()  # the levels' features are of different sizes
                total = total + s.feature_weight * (again - target).float().square().mean() / unit
        return total

    def _autocast(self) -> torch.autocast:
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def make_decoder(settings: Settings, context: Context) -> DecoderTask:
    """The task `decoder`."""
    return DecoderTask(settings, context)


def levels_of(settings: Settings) -> list[int]:
    """The levels that have a decoder: AdaIN works on the deepest alone, its style loss on those above it too."""
    return [settings.levels] if settings.method == "adain" else list(range(1, settings.levels + 1))


def decoders_of(settings: Settings) -> nn.ModuleDict:
    """Fresh decoders by level ("1" to "5")."""
    unpooling = settings.method == "photo_wct"
    return nn.ModuleDict({str(level): Decoder(level, settings.slim, unpooling) for level in levels_of(settings)})


def encoder_of(settings: Settings, device: str, dtype: torch.dtype = torch.float32) -> Encoder:
    """The frozen network that the decoders go back from."""
    levels = range(1, max(levels_of(settings)) + 1)
    return encoder(levels, settings.weights, device, dtype, poolings=settings.method == "photo_wct")


def rebuild(vgg: Encoder, decoder: nn.Module, image_B3HW: Tensor, level: int) -> Tensor:
    """An image by way of its features at a level, [B, 3, H, W]."""
    features = vgg(image_B3HW, [LEVELS[level - 1]])[LEVELS[level - 1]]
    places = pooling_places(vgg, image_B3HW, level) if getattr(decoder, "unpooling", False) else []
    out: Tensor = decoder(features, *image_B3HW.shape[-2:], places)
    return out


def trained(state: State, device: str = "cpu") -> tuple[nn.ModuleDict, Settings]:
    """The decoders in an `Evaluation.model` of this task, ready for use, with the settings they were trained by."""
    settings = Settings.model_validate(state["settings"])
    nets = decoders_of(settings)
    nets.load_state_dict(state["decoders"])
    return nets.to(device).eval().requires_grad_(False), settings
