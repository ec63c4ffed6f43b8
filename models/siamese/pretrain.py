"""Task `siamese`: BYOL, SimSiam, DirectPred and DirectCopy, then linear probes of the encoder.

One step, in the order of the paper's released code: two views, cosine loss both ways (equation 1), SGD, W_p made
symmetric, target moved (section 3.1), F averaged (equation 7), W_p set in closed form (equations 5 and 6).
Names: h are the projector's outputs [B, d], p the predictor's, t the target's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retable.bench.data import cifar, patches
from retable.bench.task import Context, Evaluation, State
from retable.models import parallel
from retable.models.precision import computation_dtype
from retable.models.siamese import MOMENTS, Pretraining, augment, direct, dynamics, network, probe


def make(settings: Pretraining, context: Context) -> Siamese:
    return Siamese(settings, context)


def load_images(name: str, split: patches.Split, size: int) -> tuple[Tensor, Tensor]:
    """A split as uint8 [N, 3, size, size] and labels int64 [N]. Raises DataError where the data is missing."""
    images, labels = patches.load(split, size) if name == "patches" else cifar.load(split)
    return torch.tensor(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


class Siamese:
    """See the module. Images stay on the device as bytes; on a GPU a step waits for the host at snapshots only."""

    def __init__(self, settings: Pretraining, context: Context):
        s = self.settings = settings
        self.seed, self.device = context.seed, torch.device(context.device)
        self.ranks = context.ranks
        self.share = parallel.share(s.batch_size, context.rank, self.ranks) if self.ranks > 1 else None
        self.dtype = computation_dtype(s.precision, context.device)
        self.images, self.labels = (x.to(self.device) for x in load_images(s.data, "train", s.size))
        self.batches = len(self.images) // s.batch_size
        if self.batches == 0:
            raise ValueError(f"batch_size {s.batch_size} is more than the {len(self.images)} images of '{s.data}'")
        self.steps = s.epochs * self.batches
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in (network.MEAN, network.STD))
        self.mean, self.std = mean, std

        encoder = network.ENCODERS[s.encoder](s.width)
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.projector = network.head(8 * s.width, s.hidden, s.dim).to(self.device)
        self.predictor = network.predictor(s.predictor, s.hidden, s.dim).to(self.device)
        self.online = nn.ModuleList([self.encoder, self.projector])
        if s.symmetric:
            network.symmetrise_(self.predictor)
        # SimSiam's target is the online network itself: it has the same weights and, in training mode, the same
        # batch statistics, so the projector's own output stands for its forward pass.
        self.target = copy.deepcopy(self.online).requires_grad_(False) if s.target == "ema" else None
        if self.ranks > 1:
            for module in (self.online, self.predictor, *([self.target] if self.target is not None else [])):
                parallel.synchronise_(module)
        self.encode = torch.compile(self.encoder) if s.compile else self.encoder
        self.optimizer = self._optimizer()

        self.f: Tensor | None = None
        self.order: tuple[int, Tensor] = (-1, torch.empty(0))
        self.log = dynamics.Log(self._before())

    def _optimizer(self) -> torch.optim.SGD:
        s = self.settings
        modules: dict[str, nn.Module] = {
            "encoder": self.encoder,
            "projector": self.projector,
            "predictor": self.predictor,
        }
        if s.update != "sgd" and s.update_every == 1:  # a gradient step would be overwritten at once
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
        if self.target is None:
            t1, t2 = h1.detach(), h2.detach()
        else:
            encoder, projector = self.target
            with torch.no_grad():
                t1, t2 = self._project(encoder, projector, x1), self._project(encoder, projector, x2)
        loss = network.cosine_loss(self.predictor(h1), t2) + network.cosine_loss(self.predictor(h2), t1)

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
        if s.update != "sgd" and index % s.update_every == 0:
            self._set_predictor(self.f)

        epoch, left = divmod(index + 1, self.batches)
        if left == 0 and ((epoch - 1) % s.snapshot_epochs == 0 or epoch == s.epochs):
            self._snapshot(epoch - 1)
        elif index:
            return {"loss/total": loss}
        return {"loss/total": loss, **self._last_spectrum()}  # at the step that measured it, and at the first

    def evaluate(self) -> Evaluation:
        s = self.settings
        images, labels = load_images(s.data, "test", s.size)
        train = self._features(self.images), self.labels
        test = self._features(images.to(self.device)), labels.to(self.device)
        classes = int(self.labels.max()) + 1
        metrics = {
            **dynamics.summary(self.log.last),
            **self._course(),
            "probe/lbfgs": probe.lbfgs_probe(train, test, classes),
            "probe/adam": probe.adam_probe(train, test, classes, s.probe_epochs, s.batch_size, self.seed),
        }
        model = {name: module.state_dict() for name, module in self._modules().items()}
        return Evaluation(metrics=metrics, arrays={"dynamics": self.log.arrays()}, model=model)

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
        return ((view - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

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

    def _snapshot(self, epoch: int) -> None:
        assert self.f is not None
        if not (torch.isfinite(self.f).all() and torch.isfinite(network.matrix(self.predictor)).all()):
            return  # it has diverged: the next loss says so, and the loop ends the trial
        self.log.add(epoch, self._spectrum(self.f))

    def _spectrum(self, f: Tensor) -> dynamics.Spectrum:
        return dynamics.spectrum(f, network.matrix(self.predictor))

    @torch.no_grad()
    def _before(self) -> dynamics.Spectrum:
        """The spectrum before training: F of the first batch. Leaves BatchNorm and torch's generator alone."""
        generator = torch.Generator(self.device).manual_seed(self.seed)
        encoder, projector = copy.deepcopy(self.online)
        views = augment.two_views(self._batch(0), crop=self.settings.crop, generator=generator)
        h = [self._project(encoder, projector, self._normalised(view)) for view in views]
        return self._spectrum(direct.second_moment(*h))

    def _course(self) -> dict[str, float]:
        """Rank and asymmetry on the way, as the published series has them."""
        found = {}
        for moment, share in MOMENTS.items():
            passed = dynamics.summary(self.log.near(share))
            for name in ("effective_rank", "asymmetry"):
                found[f"course/{name}_{moment}"] = passed[f"dynamics/{name}"]
        return found

    def _last_spectrum(self) -> dict[str, Tensor]:
        """The last spectrum's numbers, in the loop's type."""
        shown = dynamics.summary(self.log.last)
        return {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in shown.items()}

    def _features(self, images: Tensor) -> Tensor:
        parts = torch.split(images, 2000)
        return torch.cat([probe.features(self.encoder, self._normalised(part / 255)) for part in parts])
