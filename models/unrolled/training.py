"""Training the solver without any target image: sections 5.1 and 5.2 as a task.

A step draws contents and styles, adds noise, switches scales off at random, and lets Adam reduce the sum over the
iterations of L_TV.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models import precision
from retable.models.flatness import flatness
from retable.models.precision import computation_dtype
from retable.models.transfer import data
from retable.models.transfer.objective import Objective, beyond_range, loss_network, noisy, random_betas
from retable.models.transfer.style import Style, everywhere, style_of
from retable.models.unrolled import HELD_OUT_GROUPS, Unrolled
from retable.models.unrolled.network import Solver

WARM_UP = {"constant": 0, "linear": 10, "cosine": 20}
"""Steps of rising learning rate, by schedule."""

EMBEDDED_STYLES = 84
"""Crops of embedded styles that are drawn from, where they are."""

VALIDATION_BATCH = 8

WHITE = 0.95
"""A pixel is white whose three channels are above it."""


class UnrolledTask:
    """The task `unrolled`."""

    def __init__(self, settings: Unrolled, context: Context) -> None:
        s = self.settings = settings
        self.steps, self.device = s.steps, context.device
        self.dtype = computation_dtype(s.precision, self.device)
        vgg = loss_network(s.weights, self.device, self.dtype)
        self.objective = Objective(vgg, s.content_weight, s.variation_weight, s.alpha_floor)
        self.images = data.training_images(s.data, s.size, s.images, s.held_out, context.seed)
        self.styles, self.few = None, None
        if s.styles == "few":
            self.few = few_styles(self.objective, s.style_size or s.size, self.device)
        elif s.styles != "same":
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
        forward = [p for update in self.net.updates for p in update.down.parameters()]
        known = {id(p) for p in forward}
        rest = [p for p in self.net.parameters() if id(p) not in known]
        self.shares = (s.forward_lr, 1.0)
        self.optimizer = torch.optim.Adam([{"params": forward}, {"params": rest}], lr=s.lr)
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
        content_B3HW, style = self._draw()
        betas_BS = random_betas(s.pairs, s.keep, g).to(self.device)
        target = self.objective.targets(content_B3HW, style)
        with self._autocast():
            found = self.net(content_B3HW, everywhere(target.style), betas_BS)
        loss = self.objective.over_iterations(found, target, betas_BS).sum(0).mean()
        reduced = loss + s.range_weight * beyond_range(found) if s.range_weight else loss

        self.optimizer.zero_grad(set_to_none=True)
        reduced.backward()  # type: ignore[no-untyped-call]
        if s.clip:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), s.clip)
        for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = s.lr * share * _factor(s.schedule, index, self.steps)
        self.optimizer.step()
        now = loss.detach().double()
        self.seen = torch.stack([torch.maximum(self.seen[0], now), self.seen[1] + now.log(), self.seen[2] + 1])
        return {"loss/total": loss.detach()}

    def evaluate(self) -> Evaluation:
        """L_TV over the held-out pairs (all scales on), and a preview that no training image shows."""
        s = self.settings
        with firing(self.net) as fired:
            found_P, unchanged_P, white, flat = self._validate()
        silent = [1 - float(f.float().mean()) for f in fired.values()]
        channels = torch.cat(list(fired.values()))
        groups = np.array_split(found_P, min(HELD_OUT_GROUPS, len(found_P)))
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
            **{f"held_out/group{g:02d}": float(pairs.mean()) for g, pairs in enumerate(groups, 1)},
            "artefact/white": white,
            "health/dead_channels": 100 * (1 - float(channels.float().mean())),
            "health/dead_worst": 100 * max(silent),
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
        return Evaluation(metrics, images, arrays, self._model(), collapsed=flat)

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

    def _draw(self) -> tuple[Tensor, Tensor | Style]:
        """Contents and styles with noise, [B, 3, H, W] each: two images at random are a pair, unless styles are few."""
        s, g = self.settings, self.generator
        which = torch.randint(len(self.images), (2, s.pairs), generator=g).numpy()
        content = data.tensor(self.images[which[0]])
        if s.mirrored:
            content = torch.where(torch.rand((s.pairs, 1, 1, 1), generator=g) < 0.5, content.flip(3), content)
        if self.few is not None:
            drawn = torch.multinomial(torch.tensor(list(data.FEW.values())).float(), s.pairs, True, generator=g)
            return noisy(content, s.noise, g).to(self.device), self.few.rows(drawn.to(self.device))
        style = data.tensor(self.images[which[1]])
        if self.styles is not None:
            chosen = torch.randint(len(self.styles), (s.pairs,), generator=g).numpy()
            swap = torch.rand((s.pairs, 1, 1, 1), generator=g) < 0.5
            style = torch.where(swap, data.tensor(self.styles[chosen]), style)
        if s.recolour:
            style = data.recoloured(style, g)
        return noisy(content, s.noise, g).to(self.device), noisy(style, s.noise, g).to(self.device)

    def _validate(self) -> tuple[np.ndarray, np.ndarray, float, str]:
        """Of the held-out pairs: L_TV of the results and of the contents, what share of the pixels has turned white,
        in per cent, and why the results are degenerate, if they are."""
        s = self.settings
        contents, style_images = data.validation_pairs(s.data, s.size, s.held_out)
        turns = torch.tensor(list(data.FEW.values()))
        known = torch.arange(len(turns)).repeat_interleave(turns)  # each style as often as in training
        found, unchanged, results = [], [], []
        with torch.no_grad():
            for start in range(0, s.held_out, VALIDATION_BATCH):
                content = data.tensor(contents[start : start + VALIDATION_BATCH], self.device)
                style: Tensor | Style = data.tensor(style_images[start : start + VALIDATION_BATCH], self.device)
                if self.few is not None:
                    style = self.few.rows(known[torch.arange(start, start + len(content)) % len(known)])
                target = self.objective.targets(content, style)
                with self._autocast():
                    result = self.net(content, everywhere(target.style))[-1]
                found.append(self.objective(result, target).total_B)
                unchanged.append(self.objective(content, target).total_B)
                results.append(result.clamp(0, 1).cpu())
        pictures_P3HW, contents_P3HW = torch.cat(results), data.tensor(contents)
        white = (pictures_P3HW.amin(1) > WHITE) & (contents_P3HW.amin(1) <= WHITE)
        found_P, unchanged_P = (torch.cat(each).double().cpu().numpy() for each in (found, unchanged))
        return found_P, unchanged_P, 100 * float(white.float().mean()), flatness(255 * pictures_P3HW)

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
    rising = min(1.0, (index + 1) / WARM_UP[schedule])
    if schedule == "linear":
        return rising * (1 - index / steps)
    return rising * (1 + math.cos(math.pi * index / steps)) / 2


def few_styles(objective: Objective, size: int, device: str) -> Style:
    """The few styles of `data.FEW`, measured once on whole pictures of `size` pixels a side, in that order."""
    styles = [style_of(objective.vgg, data.tensor(data.image(n, size, size), device)) for n in data.FEW]
    matrices = {scale: torch.cat([s.matrices[scale] for s in styles]) for scale in styles[0].matrices}
    return Style(matrices, torch.cat([s.alpha_B for s in styles]).clamp_min(objective.alpha_floor))


@contextmanager
def firing(net: Solver) -> Iterator[dict[tuple[int, int], Tensor]]:
    """Notes, while it lasts, which channels of the forward maps fire: (update, scale) -> bool [C].

    A channel whose ReLU never opens learns nothing more, and its backward maps carry nothing.
    """
    fired: dict[tuple[int, int], Tensor] = {}

    def note(key: tuple[int, int], out_BCHW: Tensor) -> None:
        now = (out_BCHW > 0).any(3).any(2).any(0)
        fired[key] = fired[key] | now if key in fired else now

    hooks = [
        conv.register_forward_hook(lambda _, __, out, key=(t, s): note(key, out))
        for t, update in enumerate(net.updates)
        for s, conv in enumerate(update.down)  # type: ignore[arg-type]
    ]
    try:
        yield fired
    finally:
        for hook in hooks:
            hook.remove()


def solver_of(state: State, device: str = "cpu") -> tuple[Solver, Unrolled]:
    """The trained solver in an `Evaluation.model` of this task, ready for use, with the settings it was trained by."""
    settings = Unrolled.model_validate(state["settings"])
    s = settings
    net = Solver(s.iterations, s.width, s.nonlinearity, s.backward, s.derivative)
    net.load_state_dict(state["network"])
    return net.to(device).eval().requires_grad_(False), settings
