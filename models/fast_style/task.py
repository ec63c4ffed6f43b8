"""Training the image transformation network with one optimizer: section 2 as a task.

A step is one batch: stylise, measure content and style (equation 2.5), let the optimizer move the weights.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.data import photos, styles
from retable.bench.task import Context, Evaluation, State
from retable.models import optimizers, precision
from retable.models.fast_style import FastStyle, data
from retable.models.fast_style.network import TransformNet
from retable.models.flatness import flatness
from retable.models.perceptual import content_loss, style_loss
from retable.models.precision import computation_dtype

LAST_STEPS = 20
"""`loss/last` is a mean over so many steps."""

TIMED_STEPS = 200
"""`time/optimizer` is a median over at most the last so many steps."""

EVALUATION_BATCH = 8
"""Images per pass when the held-out loss is measured; the result does not depend on the trial's batch size."""


class FastStyleTask:
    """The task `fast_style`. `facts` says what the numbers hold for: precision used and loss network."""

    def __init__(self, settings: FastStyle, context: Context) -> None:
        s = self.settings = settings
        self.device = context.device
        self.seed = context.seed
        self.dtype = computation_dtype(s.precision, self.device)
        self.images = data.training_images(s.data, s.size, s.images, s.held_out, self.seed)
        self.steps_per_epoch = -(-len(self.images) // s.batch_size)
        self.steps = s.epochs * self.steps_per_epoch

        self.vgg = data.loss_network(s.weights, self.device, self.dtype)
        self.grams = data.style_targets(s.style, s.style_size, s.weights, self.device, self.dtype)
        self.content_targets = data.content_targets(
            s.data, s.size, s.images, s.held_out, self.seed, s.weights, self.device, self.dtype
        )

        self.net = initial_network(s, self.seed).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = optimizers.make(s.optimizer, self.net.parameters(), s.lr, s.foreach)
        if context.start is not None:
            self.net.load_state_dict(context.start["network"])

        self.epoch_total = torch.zeros((), dtype=torch.float64, device=self.device)
        self.last_totals = torch.zeros(LAST_STEPS, dtype=torch.float32, device=self.device)
        self.steps_done = 0
        self.optimizer_ms: deque[Callable[[], float]] = deque(maxlen=TIMED_STEPS)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return precision.facts(self.dtype, self.vgg.network.as_dict())

    def step(self, index: int) -> Mapping[str, Tensor]:
        """One batch of section 2; losses of the batch before the update, as the base code reports them."""
        epoch, place = divmod(index, self.steps_per_epoch)
        order = data.epoch_order(self.seed, epoch, len(self.images))
        chosen = order[place * self.settings.batch_size :][: self.settings.batch_size]
        x_B3HW = data.as_tensor(self.images[chosen], self.device)
        if self.content_targets is None:
            target_BCHW = data.content_target(self.vgg, x_B3HW)
        else:
            target_BCHW = self.content_targets[torch.from_numpy(chosen).to(self.device)]

        self.optimizer.zero_grad(set_to_none=True)
        total, content, style = self.losses(x_B3HW, target_BCHW)
        total.backward()  # type: ignore[no-untyped-call]
        self._update()

        losses = {"loss/total": total.detach(), "loss/content": content.detach(), "loss/style": style.detach()}
        if place == 0:
            self.epoch_total.zero_()
        self.epoch_total += losses["loss/total"]
        self.last_totals[index % LAST_STEPS] = losses["loss/total"]
        self.steps_done = index + 1
        return losses

    def losses(self, x_B3HW: Tensor, target_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Equation 2.5 for y = f_W(x): total, weighted content and weighted style loss, float32 scalars."""
        return self._losses_of(self._stylise(x_B3HW), target_BCHW)

    def _losses_of(self, y_B3HW: Tensor, target_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = self.settings
        features = self.vgg(y_B3HW)
        content = s.content_weight * content_loss(features[data.CONTENT_LAYER], target_BCHW)
        style = s.style_weight * style_loss(features, self.grams, s.style_reduction)
        return content + style, content, style

    def evaluate(self) -> Evaluation:
        """Means of the training loss, held-out loss, and the preview photograph through the network.

        With batch normalisation the network uses its running statistics here.
        """
        s = self.settings
        epoch_steps = (self.steps_done - 1) % self.steps_per_epoch + 1
        metrics = {
            "loss/final": float(self.epoch_total) / epoch_steps,
            "loss/last": float(self.last_totals[: self.steps_done].double().mean()),
            "model/parameters": float(sum(p.numel() for p in self.net.parameters())),
            "model/bits": 16.0 if self.dtype == torch.bfloat16 else 32.0,
        }
        if self.optimizer_ms:
            metrics["time/optimizer"] = float(np.median([read() for read in self.optimizer_ms]))
        photo = data.resized(photos.load(s.preview), s.preview_size)
        self.net.eval()
        with torch.no_grad():
            metrics["loss/held_out"], y_N3HW = self._held_out()
            stylised_13HW = self._stylise(data.as_tensor(photo[None], self.device))
        self.net.train()
        stylised = stylised_13HW[0].permute(1, 2, 0).nan_to_num(0.0).clamp(0, 255).round().byte().cpu().numpy()
        images = {"stylised": stylised, "content": photo, "style": styles.load(s.style, s.style_size)}
        model = {"network": self.net.state_dict()}
        return Evaluation(metrics=metrics, images=images, model=model, collapsed=flatness(y_N3HW))

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch_total": self.epoch_total,
            "last_totals": self.last_totals,
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: State) -> None:
        self.net.load_state_dict(state["network"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))
        self.epoch_total.copy_(state["epoch_total"])
        self.last_totals.copy_(state["last_totals"])
        self.steps_done = state["steps_done"]

    def _stylise(self, x_B3HW: Tensor) -> Tensor:
        bf16 = self.dtype == torch.bfloat16
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=bf16):
            y_B3HW: Tensor = self.net(x_B3HW)
        return y_B3HW

    def _update(self) -> None:
        """The optimizer's step; its time is read at the end, so that a GPU is not waited for."""
        stop = _stopwatch(self.device)
        self.optimizer.step()
        self.optimizer_ms.append(stop())

    def _held_out(self) -> tuple[float, Tensor]:
        """The mean loss of the held-out images, and what the network makes of them, in main memory."""
        s = self.settings
        images = data.held_out_images(s.data, s.size, s.held_out)
        total, outputs = 0.0, []
        for start in range(0, len(images), EVALUATION_BATCH):
            x_B3HW = data.as_tensor(images[start : start + EVALUATION_BATCH], self.device)
            y_B3HW = self._stylise(x_B3HW)
            total += float(self._losses_of(y_B3HW, data.content_target(self.vgg, x_B3HW))[0]) * len(x_B3HW)
            outputs.append(y_B3HW.cpu())
        return total / len(images), torch.cat(outputs)


def _stopwatch(device: str) -> Callable[[], Callable[[], float]]:
    """Start now; the first call stops, and what it returns tells the milliseconds between."""
    if device == "cpu":
        before = time.perf_counter()

        def stop() -> Callable[[], float]:
            milliseconds = 1e3 * (time.perf_counter() - before)
            return lambda: milliseconds

        return stop
    start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    start.record(torch.cuda.current_stream(device))

    def stop_event() -> Callable[[], float]:
        end.record(torch.cuda.current_stream(device))

        def read() -> float:
            end.synchronize()
            return float(start.elapsed_time(end))

        return read

    return stop_event


def initial_network(settings: FastStyle, seed: int) -> TransformNet:
    """The network at step 0: the same weights for one seed, whatever drew random numbers before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TransformNet(settings.width, settings.norm, settings.output, settings.upsample)
