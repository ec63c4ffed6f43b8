"""Task `siamese`: BYOL, SimSiam, DirectPred and DirectCopy, then linear probes of the encoder.

One step, in the order of the paper's released code: two views, cosine loss both ways (equation 1), SGD, W_p made
symmetric, target moved (section 3.1), F averaged (equation 7), W_p set in closed form (equations 5 and 6).
Names: h are the projector's outputs [B, d], p the predictor's, t the target's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retable.bench.data import cifar, patches
from retable.bench.task import Context, Evaluation, State
from retable.models import parallel
from retable.models.precision import computation_dtype
from retable.models.siamese import MOMENTS, Pretraining, augment, controls, direct, dynamics, measures, network, probe


def make(settings: Pretraining, context: Context) -> Siamese:
    return Siamese(settings, context)


def load_images(name: str, split: patches.Split, size: int) -> tuple[Tensor, Tensor]:
    """A split as uint8 [N, 3, size, size] and labels int64 [N]. Raises DataError where the data is missing."""
    images, labels = patches.load(split, size) if name == "patches" else cifar.load(split)
    return torch.tensor(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def held_back(name: str, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of the training images [N]: those whose labels a probe may know when settings are chosen, and those it is asked.

    Patches: of separate columns, so that they share no pixel. CIFAR-10: the first 45,000 and the last 5,000.
    """
    if name == "patches":
        fit, held = (torch.tensor(rows) for rows in patches.held_back())
    else:
        fit = torch.arange(len(labels)) < len(labels) * 9 // 10
        held = ~fit
    return fit, held


CONSTANT = "constant features"
"""The encoder gives every image the same: no probe can tell one from another."""


class Siamese:
    """See the module. Images stay on the device as bytes; on a GPU a step waits for the host at snapshots only."""

    def __init__(self, settings: Pretraining, context: Context):
        s = self.settings = settings
        self.seed, self.device = context.seed, torch.device(context.device)
        self.ranks = context.ranks
        self.share = parallel.share(s.batch_size, context.rank, self.ranks) if self.ranks > 1 else None
        self.dtype = computation_dtype(s.precision, context.device)
        images, labels = load_images(s.data, "train", s.size)
        fit, held = held_back(s.data, labels)
        if s.images:
            chosen = torch.linspace(0, len(images) - 1, min(s.images, len(images))).round().long()
            images, labels, fit, held = (x[chosen] for x in (images, labels, fit, held))
        self.images, self.labels, self.fit, self.held = (x.to(self.device) for x in (images, labels, fit, held))
        self.batches = len(self.images) // s.batch_size
        if self.batches == 0:
            raise ValueError(f"batch_size {s.batch_size} is more than the {len(self.images)} images of '{s.data}'")
        self.steps = s.epochs * self.batches

        self.encoder, self.projector, self.predictor = self._drawn()
        self.online = nn.ModuleList([self.encoder, self.projector])
        # SimSiam's target is the online network itself: it has the same weights and, in training mode, the same
        # batch statistics, so the projector's own output stands for its forward pass.
        self.target = copy.deepcopy(self.online).requires_grad_(False) if s.target == "ema" else None
        if self.ranks > 1:
            for module in (self.online, self.predictor, *([self.target] if self.target is not None else [])):
                parallel.synchronise_(module)
        self.encode = torch.compile(self.encoder) if s.compile else self.encoder
        self.optimizer = self._optimizer()
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

        self.f: Tensor | None = None
        self.order: tuple[int, Tensor] = (-1, torch.empty(0))
        self.log = dynamics.Log(self._before())

    def _drawn(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
        """Encoder, projector and predictor as the seed alone has them: trials with one seed start from the same."""
        s = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            encoder = network.ENCODERS[s.encoder](s.width)
            projector = network.head(8 * s.width, s.hidden, s.dim)
            predictor = network.predictor(s.predictor, s.hidden, s.dim)
        encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return encoder, projector.to(self.device), predictor.to(self.device)

    def _copies(self) -> tuple[nn.Sequential, nn.Sequential]:
        """Of encoder and projector, whose batch norm waits for no other process: one alone evaluates."""
        encoder, projector, _ = self._drawn()
        encoder.load_state_dict(self.encoder.state_dict())
        projector.load_state_dict(self.projector.state_dict())
        return encoder, projector

    def _optimizer(self) -> torch.optim.SGD:
        s = self.settings
        modules: dict[str, nn.Module] = {
            "encoder": self.encoder,
            "projector": self.projector,
            "predictor": self.predictor,
        }
        if (s.update != "sgd" and s.update_every == 1) or s.loss != "cosine":
            # Set in closed form, which would overwrite a gradient step at once, or not part of the loss.
            modules.pop("predictor").requires_grad_(False)
        decaying = {"all": list(modules), "heads": ["projector", "predictor"], "predictor": ["predictor"], "none": []}
        groups = []
        for name, module in modules.items():
            decayed, free = network.decay_groups(module)
            lr = s.lr_predictor if name == "predictor" and s.lr_predictor is not None else s.lr
            decay = s.weight_decay
            if name == "predictor" and s.weight_decay_predictor is not None:
                decay = s.weight_decay_predictor
            weight_decay = decay if name in decaying[s.decayed] else 0.0
            groups.append({"params": decayed, "lr": lr, "weight_decay": weight_decay})
            if free:
                groups.append({"params": free, "lr": lr, "weight_decay": 0.0})
        return torch.optim.SGD(groups, lr=s.lr, momentum=s.momentum, fused=True)

    def step(self, index: int) -> Mapping[str, Tensor]:
        s = self.settings
        views = augment.two_views(self._batch(index), crop=s.crop, interpolation=s.interpolation, share=self.share)
        x1, x2 = (self._normalised(view) for view in views)
        h1, h2 = self._project(self.encode, self.projector, x1), self._project(self.encode, self.projector, x2)
        if s.loss != "cosine":
            loss = controls.LOSSES[s.loss](h1, h2)
        else:
            t1, t2 = self._targets(x1, x2) or (h1.detach(), h2.detach())
            loss = network.cosine_loss(self.predictor(h1), t2) + network.cosine_loss(self.predictor(h2), t1)

        if s.schedule != "constant" or s.warmup_epochs:
            for group, lr in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = lr * self._share(index)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        loss, moment = loss.detach(), direct.second_moment(h1, h2)
        if self.ranks > 1:
            parallel.average_gradients_(self.optimizer)
            parallel.average_([loss, moment])
        self.optimizer.step()
        if s.symmetric:
            network.symmetrise_(self.predictor)
        if self.target is not None:
            network.follow_(self.target, self.online, s.tau)
        self.f = moment if self.f is None else self.f.lerp_(moment, 1 - s.rho)
        if s.update != "sgd" and (index + 1) % s.update_every == 0:
            self._set_predictor(self.f)

        epoch, left = divmod(index + 1, self.batches)
        if left == 0 and ((epoch - 1) % s.snapshot_epochs == 0 or epoch == s.epochs):
            return {"loss/total": loss, **self._snapshot(epoch - 1)}
        return {"loss/total": loss, **({} if index else self._last_spectrum())}

    def _targets(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor] | None:
        """The target network's outputs; None where it is the online network itself."""
        if self.target is None:
            return None
        encoder, projector = self.target
        with torch.no_grad():
            return self._project(encoder, projector, x1), self._project(encoder, projector, x2)

    def _share(self, index: int) -> float:
        """What share of its learning rate step `index` takes."""
        warm = self.settings.warmup_epochs * self.batches
        if index < warm:
            return (index + 1) / warm
        if self.settings.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (index - warm) / (self.steps - warm))) / 2

    def evaluate(self) -> Evaluation:
        s = self.settings
        images, labels = load_images(s.data, "test", s.size)
        surveyed, projector = self._copies()
        h = measures.survey(surveyed, projector, self._epoch_of_views(), self._project)
        encoder = self.encoder if self.steps else surveyed
        x, y = self._features(encoder, self.images), self.labels
        test = self._features(encoder, images.to(self.device)), labels.to(self.device)
        classes = int(y.max()) + 1
        metrics = {
            **dynamics.summary(self.log.last),
            **self._course(),
            **measures.of_features(x, y, self.fit, self.held),
            **measures.of_outputs(h),
            **self._decay_times(),
            "probe/lbfgs": probe.lbfgs_probe((x, y), test, classes),
            "probe/adam": probe.adam_probe((x, y), test, classes, s.probe_epochs, s.batch_size, self.seed),
            "probe/held_out": probe.lbfgs_probe((x[self.fit], y[self.fit]), (x[self.held], y[self.held]), classes),
        }
        model = {name: module.state_dict() for name, module in self._modules().items()}
        constant = float(x.std(0).max()) < probe.SPREAD
        return Evaluation(
            metrics=metrics,
            arrays={"dynamics": self.log.arrays()},
            model=model,
            collapsed=CONSTANT if constant else "",
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            **{name: module.state_dict() for name, module in self._modules().items()},
            "target": self.target.state_dict() if self.target is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "f": [] if self.f is None else [self.f],
            "log": self.log.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        if self.target is not None:
            self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.f = state["f"][0].to(self.device) if state["f"] else None
        self.log = dynamics.Log.from_state(state["log"])

    def _modules(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "projector": self.projector, "predictor": self.predictor}

    def _batch(self, index: int) -> Tensor:
        """The bytes of batch `index`; the order of an epoch depends on seed and epoch alone."""
        epoch, place = divmod(index, self.batches)
        if self.order[0] != epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self.order = (epoch, torch.randperm(len(self.images), generator=generator).to(self.device))
        rows = self.order[1][place * self.settings.batch_size :][: self.settings.batch_size]
        return self.images[rows]

    def _normalised(self, view: Tensor) -> Tensor:
        return network.normalise(view, self.settings.normalise).contiguous(memory_format=torch.channels_last)

    def _project(self, encoder: Any, projector: nn.Module, x: Tensor) -> Tensor:
        """h of one view [B, d] in float32; BatchNorm sees this view alone."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            found = encoder(x)
        h: Tensor = projector(found.float())
        return h

    @torch.no_grad()
    def _set_predictor(self, f: Tensor) -> None:
        w = direct.SETTERS[self.settings.update](f, self.settings.epsilon)
        network.matrix(self.predictor).copy_(w)

    def _snapshot(self, epoch: int) -> dict[str, Tensor]:
        """Spectrum and features at the end of an epoch; nothing of a training that has diverged: its next loss says
        so, and the loop ends the trial."""
        assert self.f is not None
        parts = [self.f, network.matrix(self.predictor), *network.floats(self.encoder)]
        if not all(torch.isfinite(part).all() for part in parts):
            return {}
        self.log.add(epoch, self._spectrum(self.f))
        x = self._features(self.encoder, self.images)
        return self._last_spectrum() | self._scalars(measures.of_features(x, self.labels, self.fit, self.held))

    def _spectrum(self, f: Tensor) -> dynamics.Spectrum:
        return dynamics.spectrum(f, network.matrix(self.predictor))

    @torch.no_grad()
    def _before(self) -> dynamics.Spectrum:
        """The spectrum before training: F of the first batch. Leaves BatchNorm and torch's generator alone."""
        generator = torch.Generator(self.device).manual_seed(self.seed)
        encoder, projector = copy.deepcopy(self.online)
        h = [self._project(encoder, projector, view) for view in self._views(self._batch(0), generator)]
        return self._spectrum(direct.second_moment(*h))

    def _views(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Two normalised views of each image, drawn from `generator` alone."""
        s = self.settings
        views = augment.two_views(images, crop=s.crop, interpolation=s.interpolation, generator=generator)
        return [self._normalised(view) for view in views]

    def _epoch_of_views(self) -> Iterator[Tensor]:
        """Two views of every training image, in batches of a seed's own order."""
        generator = torch.Generator(self.device).manual_seed(self.seed + 1)
        order = torch.randperm(len(self.images), device=self.device, generator=generator)
        for rows in torch.split(order, self.settings.batch_size)[: self.batches]:
            yield from self._views(self.images[rows], generator)

    def _course(self) -> dict[str, float]:
        """Rank and asymmetry on the way, as the published series has them."""
        found = {}
        for moment, share in MOMENTS.items():
            passed = dynamics.summary(self.log.near(share))
            for name in ("effective_rank", "asymmetry"):
                found[f"course/{name}_{moment}"] = passed[f"dynamics/{name}"]
        return found

    def _decay_times(self) -> dict[str, float]:
        """lr x decay x steps / (1 - momentum) of encoder and predictor: so many times L2 alone would shrink them."""
        found, passed = {}, sum(self._share(i) for i in range(self.steps))
        for name in ("encoder", "predictor"):
            inside = {id(p) for p in self._modules()[name].parameters()}
            groups = zip(self.optimizer.param_groups, self.rates, strict=True)
            rates = [lr * g["weight_decay"] for g, lr in groups if inside & {id(p) for p in g["params"]}]
            found[f"decay/{name}"] = max(rates, default=0.0) * passed / (1 - self.settings.momentum)
        return found

    def _last_spectrum(self) -> dict[str, Tensor]:
        return self._scalars(dynamics.summary(self.log.last))

    def _scalars(self, numbers: Mapping[str, float]) -> dict[str, Tensor]:
        """In the loop's type."""
        return {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in numbers.items()}

    def _features(self, encoder: nn.Module, images: Tensor) -> Tensor:
        parts = torch.split(images, 2000)
        return torch.cat([probe.features(encoder, self._normalised(part / 255)) for part in parts])
