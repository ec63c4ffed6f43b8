"""Training the solver without any target image: sections 5.1 and 5.2 as a task.

A step draws contents and styles, adds noise, switches scales off at random, and lets Adam reduce the sum over the
iterations of L_TV.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models import precision
from retable.models.precision import computation_dtype
from retable.models.transfer import data
from retable.models.transfer.objective import Objective, beyond_range, loss_network, noisy, random_betas
from retable.models.transfer.style import everywhere, style_of
from retable.models.unrolled import Unrolled
from retable.models.unrolled.network import Solver

WARM_UP = 10
"""Steps of rising learning rate of the schedule "linear"."""

EMBEDDED_STYLES = 84
"""Crops of embedded styles that are drawn from, where they are."""

VALIDATION_BATCH = 8


class UnrolledTask:
    """The task `unrolled`."""

    def __init__(self, settings: Unrolled, context: Context) -> None:
        s = self.settings = settings
        self.steps, self.device = s.steps, context.device
        self.dtype = computation_dtype(s.precision, self.device)
        vgg = loss_network(s.weights, self.device, self.dtype)
        self.objective = Objective(vgg, s.content_weight, s.variation_weight, s.alpha_floor)
        self.images = data.training_images(s.data, s.size, s.images, s.held_out, context.seed)
        self.styles = None
        if s.styles != "same":
            names = data.TEXTURES + (data.PATTERNS if s.styles == "patterns" else ())
            self.styles = data.style_images(names, s.size, EMBEDDED_STYLES, context.seed)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            net = Solver(s.iterations, s.width, s.nonlinearity, s.backward, s.derivative)
        for update in net.updates:
            for chain in update.up:  # type: ignore[union-attr]
                chain[0].weight.data.mul_(s.gain)
        self.net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if context.start is not None:
            self.net.load_state_dict(context.start["network"])
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=s.lr)
        self.generator = torch.Generator().manual_seed(context.seed)
        self.seen = torch.zeros(3, dtype=torch.float64, device=self.device)
        """Of the training loss: its largest value, the sum of its logarithm, and over how many steps."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return precision.facts(self.dtype, self.objective.vgg.network.as_dict())

    def step(self, index: int) -> Mapping[str, Tensor]:
        """One update from `pairs` pairs; the loss before it."""
        s, g = self.settings, self.generator
        content_B3HW, style_B3HW = self._draw()
        betas_BS = random_betas(s.pairs, s.keep, g).to(self.device)
        target = self.objective.targets(content_B3HW, style_B3HW)
        with self._autocast():
            found = self.net(content_B3HW, everywhere(target.style), betas_BS)
        loss = self.objective.over_iterations(found, target, betas_BS).sum(0).mean()
        reduced = loss + s.range_weight * beyond_range(found) if s.range_weight else loss

        self.optimizer.zero_grad(set_to_none=True)
        reduced.backward()  # type: ignore[no-untyped-call]
        if s.clip:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), s.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = s.lr * _factor(s.schedule, index, self.steps)
        self.optimizer.step()
        now = loss.detach().double()
        self.seen = torch.stack([torch.maximum(self.seen[0], now), self.seen[1] + now.log(), self.seen[2] + 1])
        return {"loss/total": loss.detach()}

    def evaluate(self) -> Evaluation:
        """L_TV over the held-out pairs (all scales on), and a preview that no training image shows."""
        s = self.settings
        found_P, unchanged_P = self._validate()
        ordered = np.sort(found_P)
        cut = len(ordered) // 10
        largest, logarithms, steps = self.seen.tolist()
        metrics = {
            **({"loss/explosion": largest / math.exp(logarithms / steps)} if steps else {}),
            "loss/held_out": float(found_P.mean()),
            "loss/deviation": float(found_P.std(ddof=1)) if len(found_P) > 1 else 0.0,
            "loss/median": float(np.median(found_P)),
            "loss/trimmed": float(ordered[cut : len(ordered) - cut].mean()),
            "loss/relative": float(np.exp(np.log(found_P / unchanged_P).mean())),
            "loss/unchanged": float(unchanged_P.mean()),
            "loss/improved": float(100 * (found_P < unchanged_P).mean()),
            "model/parameters": float(sum(p.numel() for p in self.net.parameters())),
            "model/bits": 16.0 if self.dtype == torch.bfloat16 else 32.0,
        }
        content = data.image(s.preview_content, s.preview_size, s.preview_size)
        style = data.image(s.preview_style, s.preview_size, s.preview_size)
        with torch.no_grad(), self._autocast():
            guide = style_of(self.objective.vgg, data.tensor(style, self.device), s.alpha_floor)
            stylised = self.net(data.tensor(content, self.device), everywhere(guide))[-1]
        images = {"stylised": data.pixels(stylised), "content": content, "style": style}
        arrays = {"pairs": {"found": found_P, "unchanged": unchanged_P}}
        return Evaluation(metrics, images, arrays, self._model())

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "seen": self.seen,
        }

    def load_state_dict(self, state: State) -> None:
        self.net.load_state_dict(state["network"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))
        self.generator.set_state(state["generator"])
        self.seen = state["seen"].to(self.device)

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Contents and styles with noise, [B, 3, H, W] each; two images at random make a pair."""
        s, g = self.settings, self.generator
        which = torch.randint(len(self.images), (2, s.pairs), generator=g).numpy()
        content = data.tensor(self.images[which[0]])
        style = data.tensor(self.images[which[1]])
        if self.styles is not None:
            chosen = torch.randint(len(self.styles), (s.pairs,), generator=g).numpy()
            swap = torch.rand((s.pairs, 1, 1, 1), generator=g) < 0.5
            style = torch.where(swap, data.tensor(self.styles[chosen]), style)
        if s.recolour:
            style = data.recoloured(style, g)
        return noisy(content, s.noise, g).to(self.device), noisy(style, s.noise, g).to(self.device)

    def _validate(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.settings
        contents, style_images = data.validation_pairs(s.data, s.size, s.held_out)
        found, unchanged = [], []
        with torch.no_grad():
            for start in range(0, s.held_out, VALIDATION_BATCH):
                content = data.tensor(contents[start : start + VALIDATION_BATCH], self.device)
                style = data.tensor(style_images[start : start + VALIDATION_BATCH], self.device)
                target = self.objective.targets(content, style)
                with self._autocast():
                    result = self.net(content, everywhere(target.style))[-1]
                found.append(self.objective(result, target).total_B)
                unchanged.append(self.objective(content, target).total_B)
        return torch.cat(found).double().cpu().numpy(), torch.cat(unchanged).double().cpu().numpy()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            torch.device(self.device).type, torch.bfloat16, enabled=self.dtype == torch.bfloat16, cache_enabled=True
        )

    def _model(self) -> dict[str, Any]:
        s = self.settings
        return {"network": self.net.state_dict(), "settings": s.model_dump()}


def _factor(schedule: str, index: int, steps: int) -> float:
    if schedule == "constant":
        return 1.0
    return min(1.0, (index + 1) / WARM_UP) * (1 - index / steps)


def solver_of(state: State, device: str = "cpu") -> tuple[Solver, Unrolled]:
    """The trained solver in an `Evaluation.model` of this task, ready for use, with the settings it was trained by."""
    settings = Unrolled.model_validate(state["settings"])
    s = settings
    net = Solver(s.iterations, s.width, s.nonlinearity, s.backward, s.derivative)
    net.load_state_dict(state["network"])
    return net.to(device).eval().requires_grad_(False), settings
