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

from retable.bench.data import photos, styles
from retable.bench.task import Context, Evaluation, State
from retable.models.fast_style import Reconstruction
from retable.models.fast_style.data import as_tensor
from retable.models.perceptual import Vgg, content_loss, gram_BCC, style_loss
from retable.models.precision import computation_dtype


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
        self.image = noise.to(context.device).requires_grad_()
        with torch.no_grad():
            self.unit = self._loss()
        # The objective is the relative loss times the number of pixel values, so that a pixel's gradient is of
        # order one: L-BFGS compares gradients and curvatures with fixed thresholds.
        self.pixels = self.image.numel()
        self.optimizer = _pixel_optimizer(s, self.image)

    def step(self, index: int) -> Mapping[str, Tensor]:
        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            objective = self._loss() * (self.pixels / self.unit)
            objective.backward()  # type: ignore[no-untyped-call]
            return objective

        objective: Any = self.optimizer.step(closure)  # type: ignore[arg-type]
        return {"loss/total": objective.detach() / self.pixels}

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


def _pixel_optimizer(settings: Reconstruction, image: Tensor) -> torch.optim.Optimizer:
    if settings.optimizer == "adam":
        return torch.optim.Adam([image], lr=settings.lr)
    # One iteration a step, so that each is a point of the loss curve; `max_eval`, which torch derives from the
    # number of iterations, would else end the line search before it has found a step.
    return torch.optim.LBFGS(
        [image], lr=settings.lr, max_iter=1, max_eval=25, history_size=20, line_search_fn="strong_wolfe"
    )


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
