"""Training the generator with or without a separability loss: section 3 as a task.

Trials of one seed start from the same weights and see the same pairs in the same order, so that two of them
differ in their loss alone. A trial that starts `from` another (the baseline) trains afresh too; the other's final
loss is the mark for its convergence, and its weights are kept beside its own for the comparison of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retable.bench.task import Context, Evaluation, State
from retable.models import precision
from retable.models.precision import computation_dtype
from retable.models.stytr2 import TAPS, Training, data, measuring, objective, official, schedules
from retable.models.stytr2.network import initial

FIRST_STEPS = 20
"""Of a training, those whose gradients count as its first ones."""

TOTAL = "validation/total"

LAST_SHARE = 0.2
"""Of the measurements of a training, those that count as its end when models are held against each other."""

HINGE_POINTS = 100
"""Points of the hinges' curves."""


class TrainingTask:
    """The task `stytr2`."""

    def __init__(self, settings: Training, context: Context) -> None:
        s = self.settings = settings
        self.device, self.seed, self.steps = context.device, context.seed, settings.steps
        self.dtype = computation_dtype(s.precision, self.device)
        self.images = data.pool(s)
        self.larger = data.pool(s, side=2 * s.size) if s.augment == "crop" else None
        self.pairs = data.pairs(s, len(self.images.contents), len(self.images.styles))
        self.network = objective.LossNetwork(s, self.device, self.dtype)
        self.targets = measuring.Targets(self.images, self.network, self.device, keep=self.larger is None)

        self.net = initial(s, self.seed).to(self.device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), s.lr, fused=True)
        self.plateau = schedules.Plateau(s.plateau_patience, s.plateau_factor, self.device)
        self.start = context.start

        self.history: list[tuple[int, float]] = []
        self.best: dict[str, Tensor] = {}
        # Of the hinges on features (row 0) and on statistics (row 1), summed over the steps of each point of their
        # curves: the share of active ones and the distance per layer, and the number of steps with any active one.
        layers = len(TAPS[s.taps])
        self.points = min(s.steps, HINGE_POINTS)
        self.activity = torch.zeros(self.points, 2, layers + 1, device=self.device)
        self.distance = torch.zeros(self.points, 2, layers, device=self.device)
        self.last_active = torch.zeros((), device=self.device)
        # Of the gradient's norm: the sum over the first steps, the last logarithm, the sum of its changes.
        self.gradient = torch.zeros(3, device=self.device)

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        found = precision.facts(self.dtype, self.network.targets.network.as_dict())
        if folder := self.settings.pretrained.removeprefix("file:"):
            found["pretrained"] = official.digests(Path(folder))
        return found

    def step(self, index: int) -> Mapping[str, Tensor]:
        """One batch of equation 12. Where a validation is due it comes first: its values are those before the step."""
        s = self.settings
        validated = self._validate(index) if s.validate_every and index % s.validate_every == 0 else {}
        rate = self._rate(index)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        images, of_targets = self._batch(index)
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.losses(images, of_targets)
        terms.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), s.clip or math.inf).detach()
        self.optimizer.step()
        if s.schedule == "plateau":
            self.plateau.see(terms.total.detach())
        self._gradients(norm, index)
        values = {**_values(terms), "schedule/lr": rate, "gradient/norm": norm}
        return {**values, **self._hinges(terms, index), **validated}

    def losses(self, images_2B3HW: Tensor, of_targets: Mapping[str, Tensor]) -> objective.Terms:
        """The trained loss of contents and styles [2 B, 3, H, W], given the features of these."""
        made = self.net.outputs(images_2B3HW, reverse=self.settings.separability != "none", dtype=self.dtype)
        return objective.trained(self.settings, made, images_2B3HW, self.network, of_targets)

    def evaluate(self) -> Evaluation:
        """The fixed validation pairs through the final (or best) weights: losses, noise, pictures."""
        trained = {name: value.clone() for name, value in self.net.state_dict().items()}
        final = self._everything()
        if self.settings.keep == "best" and self.best and min(t for _, t in self.history) < final.means[TOTAL]:
            self.net.load_state_dict(self.best)
            final = self._everything()
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(trained)

        level = self._level(final.means[TOTAL])
        metrics = {**final.means, **self._convergence(final.means[TOTAL], level)}
        first, _, changes = self.gradient.tolist()
        metrics |= {
            "gradient/first": first / min(self.steps, FIRST_STEPS),
            "gradient/roughness": changes / max(1, self.steps - 1),
            "model/parameters": float(sum(p.numel() for p in self.net.parameters())),
            "model/bits": 16.0 if self.dtype == torch.bfloat16 else 32.0,
        }
        model: dict[str, Any] = {"network": weights, "level": level}
        if self.start is not None:
            model["reference"] = {"network": self.start["network"], "level": self.start["level"]}
        arrays = {**self._hinge_curves(), "pairs": measuring.by_pair(final.stylised)}
        return Evaluation(metrics, final.pictures, arrays, model, final.collapsed)

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "history": [list(point) for point in self.history],
            "best": dict(self.best),
            "activity": self.activity,
            "distance": self.distance,
            "last_active": self.last_active,
            "gradient": self.gradient,
        }

    def load_state_dict(self, state: State) -> None:
        self.net.load_state_dict(state["network"])
        self.optimizer.load_state_dict(dict(state["optimizer"]))
        self.plateau.load_state_dict(state["plateau"])
        self.history = [(int(step), float(total)) for step, total in state["history"]]
        self.best = {name: value.to(self.device) for name, value in state["best"].items()}
        self.activity.copy_(state["activity"])
        self.distance.copy_(state["distance"])
        self.last_active.copy_(state["last_active"])
        self.gradient.copy_(state["gradient"])

    def _batch(self, index: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Contents, then styles, of training step `index`, and their features."""
        s = self.settings
        chosen = data.batch(self.pairs, len(self.images.contents), step=index, size=s.batch_size, seed=self.seed)
        if self.larger is None:
            return self.targets(chosen, TAPS[s.taps])
        generator = np.random.Generator(np.random.PCG64([self.seed, 5, index]))
        taken = np.concatenate([self.larger.contents[chosen[:, 0]], self.larger.styles[chosen[:, 1]]])
        images = data.as_tensor(data.crop(taken, s.size, generator), self.device)
        with torch.no_grad():
            return images, self.network.targets(images, TAPS[s.taps])

    def _rate(self, index: int) -> Tensor:
        """The learning rate of a step, on the device."""
        s = self.settings
        if s.schedule == "plateau":
            return (s.lr * self.plateau.multiplier).float()
        multiplier = 1.0
        if s.schedule == "equation13":
            multiplier = schedules.equation13(index, warmup_steps=s.warmup_steps, decay=s.decay)
        elif s.schedule == "continuous":
            multiplier = schedules.continuous(index, warmup_steps=s.warmup_steps, decay=s.decay)
        elif s.schedule == "cosine":
            multiplier = schedules.cosine(index, steps=s.steps, warmup_steps=s.warmup_steps)
        return torch.full((), s.lr * multiplier, device=self.device)

    def _hinges(self, terms: objective.Terms, index: int) -> dict[str, Tensor]:
        """Activity and distance per layer; and, for the end, in how many steps a hinge was active at all."""
        hinges = terms.hinges
        if hinges is None:
            return {}
        named = {
            "hinge/content": hinges.content_active,
            "distance/content": hinges.content_distance,
            "hinge/stats": hinges.stats_active,
            "distance/stats": hinges.stats_distance,
        }
        point = index * self.points // self.steps
        for row, kind in enumerate(("content", "stats")):
            if named[f"hinge/{kind}"]:
                shares = torch.stack(list(named[f"hinge/{kind}"].values()))
                self.activity[point, row] += torch.cat([shares, shares.any().float()[None]])
                self.distance[point, row] += torch.stack(list(named[f"distance/{kind}"].values()))
        self.last_active = torch.where(hinges.loss.detach() > 0, float(index + 1), self.last_active)
        return {f"{kind}/{layer}": value for kind, layers in named.items() for layer, value in layers.items()}

    def _gradients(self, norm: Tensor, index: int) -> None:
        """How large gradients are in the first steps, and how much they change from step to step."""
        log = norm.clamp_min(1e-12).log()
        if index < FIRST_STEPS:
            self.gradient[0] += norm
        if index > 0:
            self.gradient[2] += (log - self.gradient[1]).abs()
        self.gradient[1] = log

    def _validate(self, index: int) -> dict[str, Tensor]:
        self.net.eval()
        validated = measuring.losses(self.settings, self.pairs.validation, self.targets, self._produce)
        self.net.train()
        total = float(validated[TOTAL])
        if self.settings.keep == "best" and total < min((t for _, t in self.history), default=float("inf")):
            self.best = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        self.history.append((index, total))
        return validated

    def _everything(self) -> measuring.Measured:
        self.net.eval()
        found = measuring.everything(self.settings, self.pairs.validation, self.targets, self._produce, function=True)
        self.net.train()
        return found

    def _produce(self, images_2B3HW: Tensor, _at: slice, reverse: bool) -> Tensor:
        return self.net.outputs(images_2B3HW, reverse=reverse, dtype=self.dtype)

    def _kinds(self) -> tuple[str, ...]:
        """The hinges of the trained loss: of one's own nothing but the loss is known."""
        return {"content": ("content",), "full": ("content", "stats")}.get(self.settings.separability, ())

    def _level(self, final: float) -> float:
        """The validation loss where the training ends: mean over its last fifth, since one measurement is noisy."""
        curve = [*(total for _, total in self.history), final]
        return float(np.mean(curve[-math.ceil(LAST_SHARE * len(curve)) :]))

    def _convergence(self, final: float, level: float) -> dict[str, float]:
        """What the validation curve and the hinges say of the training as a whole."""
        found: dict[str, float] = {}
        s = self.settings
        if s.separability != "none":
            found["hinge/last_step"] = float(self.last_active)
            if "stats" in self._kinds():
                late = slice(math.floor((1 - LAST_SHARE) * self.points), None)
                active = self.activity[late, 1, -1].sum()
                found["hinge/stats_late"] = float(active) / float(self._steps_at()[late].sum())
            for kind, row in zip(("content", "stats"), self.activity.sum(0) / self.steps, strict=True):
                if kind in self._kinds():
                    *shares, steps = row.tolist()
                    found[f"hinge/{kind}"] = steps
                    found |= {f"activity/{kind}/{tap}": v for tap, v in zip(TAPS[s.taps], shares, strict=True)}
        if self.history:
            curve = [*self.history, (self.steps, final)]
            mark = float(self.start["level"]) if self.start is not None else level
            reached = next((step for step, total in curve if total <= mark), self.steps + 1)
            found["convergence/steps"] = float(reached)
            found["convergence/area"] = float(np.mean([total for _, total in curve]))
            found["convergence/level"] = level
        return found

    def _steps_at(self) -> Tensor:
        """How many steps each point of the hinges' curves stands for."""
        return torch.bincount(torch.arange(self.steps) * self.points // self.steps, minlength=self.points)

    def _hinge_curves(self) -> dict[str, dict[str, np.ndarray]]:
        """Share of active hinges and root of the squared distance per layer, a row each, over the training."""
        if not self._kinds():
            return {}
        count = self._steps_at().double()[:, None]
        places = np.arange(self.steps) * self.points // self.steps
        steps = np.bincount(places, weights=np.arange(1, self.steps + 1)) / count[:, 0].numpy()
        curves = {"step": steps, "layer": np.arange(1.0, self.distance.shape[2] + 1)}
        for row, kind in enumerate(("content", "stats")):
            if kind in self._kinds():
                shares = self.activity[:, row, :-1].cpu().double() / count
                distance = (self.distance[:, row].cpu().double() / count).sqrt()
                curves |= {f"{kind}_active": shares.T.numpy(), f"{kind}_distance": distance.T.numpy()}
        return {"hinges": curves}


def _values(terms: objective.Terms) -> dict[str, Tensor]:
    values = {name: getattr(terms, name).detach() for name in ("total", "base", "content", "style", "id1", "id2")}
    if terms.hinges is not None:
        values["separability"] = terms.hinges.loss.detach()
    return {f"loss/{name}": value for name, value in values.items()}
