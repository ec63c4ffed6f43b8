"""Training the generator with or without a separability loss: section 3 as a task.

Trials of one seed start from the same weights and see the same pairs in the same order, so that two of them
differ in their loss alone. A trial that starts `from` another (the baseline) trains afresh too; the other's final
loss is the mark for its convergence, and its weights are kept beside its own for the comparison of pictures.
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
from retable.models.perceptual import total_variation
from retable.models.precision import computation_dtype
from retable.models.stytr2 import TAPS, Training, data, measures, objective, schedules
from retable.models.stytr2.network import initial

CACHE_BYTES = 256 * 2**20
"""Features of all images are kept up to this size; beyond it they are computed per batch."""

MEASURED_BATCH = 8
"""Pairs per pass when validation pairs are measured; no result depends on the trial's batch size."""

SHOWN_PAIRS = 4

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
        self.vgg = objective.loss_network(s, self.device, self.dtype)
        self.kept = None if self.larger else _kept_features(self.images, self.vgg, self.device)

        self.net = initial(s, self.seed).to(self.device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), s.lr, fused=True)
        self.plateau = schedules.Plateau(s.plateau_patience, s.plateau_factor)
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

    @property
    def facts(self) -> dict[str, Any]:
        """What the losses depend on beside the settings."""
        return precision.facts(self.dtype, self.vgg.network.as_dict())

    def step(self, index: int) -> Mapping[str, Tensor]:
        """One batch of equation 12. Where a validation is due it comes first: its values are those before the step."""
        s = self.settings
        validated = self._validate(index) if s.validate_every and index % s.validate_every == 0 else {}
        rate = s.lr * self._multiplier(index)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        images, of_targets = self._batch(index)
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.losses(images, of_targets)
        terms.total.backward()  # type: ignore[no-untyped-call]
        if s.clip:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), s.clip)
        self.optimizer.step()
        if s.schedule == "plateau":
            self.plateau.see(float(terms.total.detach()))
        return {**_values(terms), "schedule/lr": torch.tensor(rate), **self._hinges(terms, index), **validated}

    def losses(self, images_2B3HW: Tensor, of_targets: Mapping[str, Tensor]) -> objective.Terms:
        """The trained loss of contents and styles [2 B, 3, H, W], given the features of these."""
        outputs = self._outputs(images_2B3HW, reverse=self.settings.separability != "none")
        features = self.vgg(outputs, TAPS[self.settings.taps])
        return objective.trained(self.settings, outputs, images_2B3HW, features, of_targets)

    def evaluate(self) -> Evaluation:
        """The fixed validation pairs through the final (or best) weights: losses, noise, pictures."""
        trained = {name: value.clone() for name, value in self.net.state_dict().items()}
        final, outputs = self._measure(reverse=True)
        total = float(final["validation/total"])
        if self.settings.keep == "best" and self.best and min(t for _, t in self.history) < total:
            self.net.load_state_dict(self.best)
            final, outputs = self._measure(reverse=True)
            total = float(final["validation/total"])
        weights = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(trained)

        _, _, stylised, reverse = (measures.as_images(part) for part in outputs.chunk(4))
        contents, styles = (
            images[self.pairs.validation[:, i]] / 255
            for i, images in enumerate((self.images.contents, self.images.styles))
        )
        metrics = {name: float(value) for name, value in final.items()}
        level = self._level(total)
        metrics |= self._convergence(total, level)
        metrics |= {
            "preservation/ssim": measures.preservation(stylised, contents),
            "noise/total_variation": 255 * float(total_variation(outputs.chunk(4)[2].clamp(0, 1))),
            "noise/flat": measures.flat_noise(stylised, contents),
            "reverse/out_of_range": measures.out_of_range(reverse),
            "reverse/ssim": measures.preservation(reverse, styles),
            "reverse/total_variation": 255 * float(total_variation(outputs.chunk(4)[3].clamp(0, 1))),
            "reverse/colourfulness": measures.colourfulness(reverse),
            "model/parameters": float(sum(p.numel() for p in self.net.parameters())),
            "model/bits": 16.0 if self.dtype == torch.bfloat16 else 32.0,
        }
        model: dict[str, Any] = {"network": weights, "level": level}
        if self.start is not None:
            model["reference"] = {"network": self.start["network"], "level": self.start["level"]}
        pictures = self._pictures(stylised, reverse, contents)
        return Evaluation(metrics=metrics, images=pictures, arrays=self._hinge_curves(), model=model)

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

    def _batch(self, index: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Contents, then styles, of training step `index`, and their features."""
        s = self.settings
        chosen = data.batch(self.pairs, len(self.images.contents), step=index, size=s.batch_size, seed=self.seed)
        if self.larger is None:
            return self._targets(chosen, TAPS[s.taps])
        generator = np.random.Generator(np.random.PCG64([self.seed, 5, index]))
        taken = np.concatenate([self.larger.contents[chosen[:, 0]], self.larger.styles[chosen[:, 1]]])
        images = data.as_tensor(data.crop(taken, s.size, generator), self.device)
        with torch.no_grad():
            return images, self.vgg(images, TAPS[s.taps])

    def _targets(self, pairs: np.ndarray, layers: tuple[str, ...]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Images [2 B, 3, H, W] and features of pairs [B, 2], whole and uncropped."""
        taken = np.concatenate([self.images.contents[pairs[:, 0]], self.images.styles[pairs[:, 1]]])
        images = data.as_tensor(taken, self.device)
        if self.kept is not None:
            rows = torch.from_numpy(np.concatenate([pairs[:, 0], len(self.images.contents) + pairs[:, 1]]))
            return images, {layer: self.kept[layer][rows.to(self.device)] for layer in layers}
        with torch.no_grad():
            return images, self.vgg(images, layers)

    def _outputs(self, images_2B3HW: Tensor, *, reverse: bool) -> Tensor:
        """`Generator.outputs` in the trial's precision; the images come back in float32."""
        bf16 = self.dtype == torch.bfloat16
        with torch.autocast(images_2B3HW.device.type, torch.bfloat16, enabled=bf16):
            return self.net.outputs(images_2B3HW, reverse=reverse).float()

    def _multiplier(self, index: int) -> float:
        s = self.settings
        if s.schedule == "equation13":
            return schedules.equation13(index, warmup_steps=s.warmup_steps, decay=s.decay)
        if s.schedule == "continuous":
            return schedules.continuous(index, warmup_steps=s.warmup_steps, decay=s.decay)
        return self.plateau.multiplier if s.schedule == "plateau" else 1.0

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

    def _validate(self, index: int) -> dict[str, Tensor]:
        validated, _ = self._measure(reverse=False)
        total = float(validated["validation/total"])
        if self.settings.keep == "best" and total < min((t for _, t in self.history), default=float("inf")):
            self.best = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        self.history.append((index, total))
        return validated

    def _measure(self, *, reverse: bool) -> tuple[dict[str, Tensor], Tensor]:
        """Means over the validation pairs, and with `reverse` all outputs by kind: [4 V, 3, H, W], else empty."""
        pairs, layers = self.pairs.validation, TAPS[self.settings.measured_taps]
        sums: dict[str, Tensor] = {}
        kinds: list[list[Tensor]] = [[], [], [], []]
        self.net.eval()
        with torch.no_grad():
            for start in range(0, len(pairs), MEASURED_BATCH):
                images, of_targets = self._targets(pairs[start : start + MEASURED_BATCH], layers)
                b = len(images) // 2
                outputs = self._outputs(images, reverse=reverse)
                features = self.vgg(outputs[: 3 * b], layers)
                terms = objective.measured(self.settings, outputs, images, features, of_targets)
                for name, value in _validation(terms).items():
                    sums[name] = sums.get(name, torch.zeros_like(value)) + value * b / len(pairs)
                if reverse:
                    for kind, part in zip(kinds, torch.split(outputs, b), strict=True):
                        kind.append(part)
        self.net.train()
        return sums, torch.cat([part for kind in kinds for part in kind]) if reverse else torch.empty(0)

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
            for kind, row in zip(("content", "stats"), self.activity.sum(0) / self.steps, strict=True):
                if kind == "content" or s.separability == "full":
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

    def _hinge_curves(self) -> dict[str, dict[str, np.ndarray]]:
        """Share of active hinges and root of the squared distance per layer, a row each, over the training."""
        if self.settings.separability == "none":
            return {}
        places = torch.arange(self.steps) * self.points // self.steps
        count = torch.bincount(places, minlength=self.points).double()[:, None]
        steps = np.bincount(places.numpy(), weights=np.arange(1, self.steps + 1)) / count[:, 0].numpy()
        curves = {"step": steps, "layer": np.arange(1.0, self.distance.shape[2] + 1)}
        for row, kind in enumerate(("content", "stats")):
            if kind == "content" or self.settings.separability == "full":
                shares = self.activity[:, row, :-1].cpu().double() / count
                distance = (self.distance[:, row].cpu().double() / count).sqrt()
                curves |= {f"{kind}_active": shares.T.numpy(), f"{kind}_distance": distance.T.numpy()}
        return {"hinges": curves}

    def _pictures(self, stylised: np.ndarray, reverse: np.ndarray, contents: np.ndarray) -> dict[str, np.ndarray]:
        """Figure 4's columns for this model, and figure 3: the pairs with the tamest and the wildest I_r."""
        styles = self.images.styles[self.pairs.validation[:, 1]] / 255
        shown = measures.varied(self.pairs.validation, SHOWN_PAIRS)
        # Sorted, so that pairs of one wildness (none out of range, say) are still two.
        order = np.argsort([measures.out_of_range(image) for image in reverse], kind="stable")
        extremes = [int(order[0]), int(order[-1])]
        return {
            "contents": measures.mosaic([[contents[i]] for i in shown]),
            "styles": measures.mosaic([[styles[i]] for i in shown]),
            "stylised": measures.mosaic([[stylised[i]] for i in shown]),
            "reversal": measures.mosaic([[contents[i], styles[i], stylised[i], reverse[i]] for i in extremes]),
        }


def _kept_features(images: data.Pool, vgg: Any, device: str) -> dict[str, Tensor] | None:
    """Features of all contents, then all styles, by layer; None if they are too many to keep."""
    count = len(images.contents) + len(images.styles)
    first = data.as_tensor(images.contents[:1], device)
    with torch.no_grad():
        size = sum(f.numel() * f.element_size() for f in vgg(first).values())
        if size * count > CACHE_BYTES:
            return None
        every = [images.contents, images.styles]
        found = [vgg(data.as_tensor(part[i : i + 8], device)) for part in every for i in range(0, len(part), 8)]
    return {layer: torch.cat([f[layer] for f in found]) for layer in vgg.layers}


def _values(terms: objective.Terms) -> dict[str, Tensor]:
    values = {name: getattr(terms, name).detach() for name in ("total", "base", "content", "style", "id1", "id2")}
    if terms.hinges is not None:
        values["separability"] = terms.hinges.loss.detach()
    return {f"loss/{name}": value for name, value in values.items()}


def _validation(terms: objective.Terms) -> dict[str, Tensor]:
    values = {name: getattr(terms, name) for name in ("content", "style", "id1", "id2", "total")}
    values["score"] = terms.content + terms.style
    return {f"validation/{name}": value for name, value in values.items()}
