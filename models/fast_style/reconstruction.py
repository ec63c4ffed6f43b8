"""Images rebuilt from white noise out of one layer of the loss network: figure 2.2.

Mahendran and Vedaldi's inversion as Gatys, Ecker and Bethge (2016) use it: the pixels are optimised until
one layer's features (content) or Gram matrix (style) are those of the target image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data import photos, styles
from bench.task import Context, Evaluation, State
from models.fast_style import Reconstruction
from models.fast_style.data import as_tensor
from models.fast_style.task import computation_dtype
from models.perceptual import Vgg, content_loss, gram_BCC, style_loss


class ReconstructionTask:
    """The task `vgg_reconstruction`; a step is one iteration of the optimizer on the pixels."""

    def __init__(self, settings: Reconstruction, context: Context) -> None:
        s = self.settings = settings
        self.steps = s.iterations
        self.target = _target(s)
        dtype = computation_dtype(s.precision, context.device)
        self.vgg = Vgg([s.layer], source=s.weights, maximum=1, device=context.device, dtype=dtype)
        with torch.no_grad():
            target_13HW = as_tensor(self.target[None], context.device) / 255
            self.features = self.vgg(target_13HW)
            self.grams = {layer: gram_BCC(f_BCHW) for layer, f_BCHW in self.features.items()}
        generator = torch.Generator().manual_seed(context.seed)
        noise = torch.rand((1, 3, s.size, s.size), generator=generator)
        self.image = noise.to(context.device, memory_format=torch.channels_last).requires_grad_()
        with torch.no_grad():
            self.unit = self._loss()
        # One iteration a step, so that every one of them is a point of the loss curve.
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.LBFGS([self.image], lr=s.lr, max_iter=1, history_size=20, line_search_fn="strong_wolfe")
            if s.optimizer == "lbfgs"
            else torch.optim.Adam([self.image], lr=s.lr)
        )

    def step(self, index: int) -> Mapping[str, Tensor]:
        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss() / self.unit
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        loss: Any = self.optimizer.step(closure)  # type: ignore[arg-type]
        return {"loss/total": loss.detach()}

    def evaluate(self) -> Evaluation:
        """The rebuilt image beside its target."""
        with torch.no_grad():
            loss = float(self._loss() / self.unit)
            pixels = self.image[0].clamp(0, 1).permute(1, 2, 0) * 255
        rebuilt = pixels.nan_to_num(0.0).round().byte().cpu().numpy()
        error = rebuilt.astype(np.float64) - self.target
        metrics = {"loss/total": loss, "loss/pixels": float(np.sqrt(np.mean(error**2)))}
        return Evaluation(metrics=metrics, images={"reconstruction": rebuilt, "target": self.target})

    def state_dict(self) -> dict[str, Any]:
        return {"image": self.image.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: State) -> None:
        with torch.no_grad():
            self.image.copy_(state["image"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))

    def _loss(self) -> Tensor:
        features = self.vgg(self.image)
        if self.settings.target == "content":
            layer = self.settings.layer
            return content_loss(features[layer], self.features[layer])
        return style_loss(features, self.grams)


def _target(settings: Reconstruction) -> np.ndarray:
    """The image to rebuild, uint8 [size, size, 3]: a photograph's central square, or a style."""
    if settings.target == "style":
        return styles.load(settings.style, settings.size)
    from PIL import Image

    photo = photos.load(settings.photo)
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = Image.fromarray(photo[top : top + side, left : left + side])
    return np.asarray(square.resize((settings.size, settings.size), Image.Resampling.LANCZOS))
