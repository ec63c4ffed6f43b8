"""A pretraining step against the form that public code has, and what DirectPred and the spectra cost beside it.

The reference augments image by image with torchvision's PIL transforms, runs a second network as the target, and
copies or averages its parameters one by one. Only ratios of interleaved timings within one run are judged.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest
import speed
import torch
from torch import Tensor, nn

from retable.bench.data.vision import torchvision
from retable.bench.task import Context
from retable.models.siamese import Pretraining, augment, direct, network, pretrain

torchvision()
from torchvision import transforms  # noqa: E402, TID251

QUICK: dict[str, Any] = {
    "size": 16,
    "epochs": 60,
    "encoder": "conv4",
    "width": 8,
    "hidden": 256,
    "dim": 64,
    "tau": 0.98,
    "lr": 0.05,
}


def make(**settings: Any) -> pretrain.Siamese:
    torch.manual_seed(0)
    return pretrain.make(Pretraining.model_validate({**QUICK, **settings}), Context("cpu", 0))


class Reference:
    """The plain form, started from a task's weights."""

    def __init__(self, task: pretrain.Siamese):
        self.task = task
        self.encoder, self.projector, self.predictor = (
            copy.deepcopy(m).to(memory_format=torch.contiguous_format)
            for m in (task.encoder, task.projector, task.predictor)
        )
        self.target = copy.deepcopy(nn.ModuleList([self.encoder, self.projector]))
        s = task.settings
        groups = []
        for module in (self.encoder, self.projector, self.predictor):
            decayed, free = network.decay_groups(module)
            groups += [{"params": decayed, "weight_decay": s.weight_decay}, {"params": free, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD(
            [g for g in groups if g["params"]], lr=s.lr, momentum=s.momentum, foreach=False
        )
        self.tau = s.tau if s.target == "ema" else 0.0
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomResizedCrop(s.size),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                transforms.RandomGrayscale(0.2),
                transforms.ToTensor(),
            ]
        )
        to_pil = transforms.ToPILImage()
        self.pictures = [to_pil(image) for image in task.images[: s.batch_size * 2]]

    def views(self, index: int) -> tuple[Tensor, Tensor]:
        batch = self.task.settings.batch_size
        chosen = self.pictures[index % 2 * batch :][:batch]
        first, second = (torch.stack([self.transform(picture) for picture in chosen]) for _ in range(2))
        return first, second

    def update(self, views: tuple[Tensor, Tensor]) -> float:
        x1, x2 = (network.normalise(v, "dataset") for v in views)
        p1, p2 = (self.predictor(self.projector(self.encoder(x))) for x in (x1, x2))
        with torch.no_grad():
            t1, t2 = (self.target[1](self.target[0](x)) for x in (x1, x2))
        loss = network.cosine_loss(p1, t2) + network.cosine_loss(p2, t1)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            online = [*self.encoder.parameters(), *self.projector.parameters()]
            for a, w in zip(self.target.parameters(), online, strict=True):
                a.mul_(self.tau).add_(w, alpha=1 - self.tau)
        return loss.item()

    def step(self, index: int) -> float:
        return self.update(self.views(index))


def fastest(*what: Callable[[int], object], rounds: int = 8) -> list[float]:
    """The shortest time of each, interleaved."""
    times = [[float("inf")] * rounds for _ in what]
    for f in what:
        f(0)
    for i in range(rounds):
        for k, f in enumerate(what):
            begun = time.perf_counter()
            f(i)
            times[k][i] = time.perf_counter() - begun
    return [min(t) for t in times]


@pytest.mark.parametrize(("target", "promised"), [("ema", 3.0), ("copied", 3.5)])
def test_a_step_beats_per_image_transforms_and_a_second_network(
    target: str, promised: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(target=target, lr=0.002)  # small: rounding grows with the rate
    reference = Reference(task)
    views = [augment.two_views(task._batch(i)) for i in range(4)]
    with monkeypatch.context() as patched:
        given = iter(views)
        patched.setattr(augment, "two_views", lambda *args, **kwargs: next(given))
        losses = [float(task.step(i)["loss/total"]) for i in range(4)]
    assert losses == pytest.approx([reference.update(v) for v in views], abs=1e-4), "the same loss in fp32"

    ours, theirs = fastest(task.step, reference.step)
    print(f"\n{target}: {1e3 * ours:.1f} ms a step, per-image form {1e3 * theirs:.1f} ms: {theirs / ours:.1f} times")
    speed.at_least(theirs / ours, promised)


def test_batched_augmentation_beats_per_image_transforms() -> None:
    task = make(size=32, target="copied")
    reference = Reference(task)
    batch = task._batch(0)
    ours, theirs = fastest(lambda i: augment.two_views(batch), reference.views)
    views = 2 * task.settings.batch_size
    print(f"\n32 px: {views / ours:,.0f} views a second, per image {views / theirs:,.0f}: {theirs / ours:.1f} times")
    speed.at_least(theirs / ours, 5.0)


def test_directpreds_update_costs_at_most_5_per_cent_of_a_step() -> None:
    task = make(predictor="linear", update="directpred")
    task.step(0)
    assert task.f is not None
    f = task.f.clone()
    step, update = fastest(task.step, lambda i: task._set_predictor(f), rounds=30)
    print(f"\nDirectPred {1e3 * update:.2f} ms, step {1e3 * step:.1f} ms: {100 * update / step:.1f} %")
    speed.at_most(update / step, 0.05)


def test_spectra_cost_less_than_3_per_cent_of_training() -> None:
    task = make()
    task.step(0)
    step, snapshot = fastest(task.step, task._snapshot, rounds=20)
    share = snapshot / (task.settings.snapshot_epochs * task.batches * step)
    print(f"\nsnapshot {1e3 * snapshot:.1f} ms every {task.settings.snapshot_epochs} epochs: {100 * share:.2f} %")
    speed.at_most(share, 0.03)


def test_newton_schulz_needs_no_host_and_gives_the_same() -> None:
    """Matrix products alone: on a GPU nothing is copied to the host. Here, that it is a fraction of a GPU's eigh."""
    rows = torch.randn(256, 128, generator=torch.Generator().manual_seed(0)) * torch.linspace(3, 0.01, 128)
    f = direct.second_moment(rows)
    exact = direct.by_eigh(f, 0.1)
    with torch.profiler.profile() as profile:
        found = direct.by_newton_schulz(f, 0.1)
    assert torch.linalg.matrix_norm(found - exact) < 2e-3 * torch.linalg.matrix_norm(exact)
    called = {event.key for event in profile.key_averages()}
    assert not called & {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("target", ["ema", "copied"])
def test_the_papers_step_on_a_gpu(target: str) -> None:
    """Images a second of the paper's network in bf16, and how busy they keep the GPU; printed for the report."""
    task = pretrain.make(Pretraining.model_validate({"target": target, "precision": "bf16"}), Context("cuda", 0))
    for i in range(20):
        task.step(i)
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for i in range(20, 120):
        task.step(i)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begun) / 100
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for i in range(120, 140):
            task.step(i)
        torch.cuda.synchronize()
    busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / 20
    hours = 17 * 39_390 * seconds / 3600
    print(
        f"\n{torch.cuda.get_device_name()}, {target}: {128 / seconds:,.0f} images a second, "
        f"{1e3 * seconds:.2f} ms a step, {100 * busy / seconds:.0f} % of it on the GPU; "
        f"17 pretrainings in {hours:.1f} hours"
    )
    speed.at_most(seconds, 0.0054)  # an hour for seventeen


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_step_with_directpred_never_waits_for_the_host() -> None:
    settings = {"predictor": "linear", "update": "directpred", "precision": "bf16"}
    task = pretrain.make(Pretraining.model_validate(settings), Context("cuda", 0))
    task.step(0)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i in range(1, 5):
            task.step(i)
    finally:
        torch.cuda.set_sync_debug_mode("default")
