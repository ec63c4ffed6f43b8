"""A training step of StyTr2 against the direct form of the same mathematics, timed side by side.

The reference follows the public recipe: four separate generator passes, each encoding its content and its style
again; attention with its weights written out; a plain loss network, called for the outputs and the targets of every
loss apart (six feature sets), over all of its taps. Only ratios of interleaved timings within one run are judged.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import speed
import torch
import torch.nn.functional as F
from torch import Tensor

from retable.bench.data import weights
from retable.bench.task import Context
from retable.models.precision import cpu_has_bf16
from retable.models.stytr2 import TAPS, Training, losses
from retable.models.stytr2.network import Generator
from retable.models.stytr2.task import TrainingTask
from retable.models.stytr2.transformer import Attention

QUICK: dict[str, Any] = {
    "contents": 8, "styles": 5, "size": 64, "pairs_per_content": 5, "validation_pairs": 8, "batch_size": 2,
    "patch": 4, "width": 64, "heads": 2, "ffn": 256, "encoder_layers": 2, "decoder_layers": 2, "pool": 6,
    "dropout": 0.0, "taps": "original", "measured_taps": "original", "normalise": True, "features": 0.1,
    "steps": 1000, "separability": "full", "separability_weight": 1.0, "margin": 3.0,
}  # fmt: skip
MEAN, STD = weights.VGG16.mean, weights.VGG16.std


def ours(**more: Any) -> TrainingTask:
    return TrainingTask(Training(**{**QUICK, "precision": "fp32", **more}), Context("cpu", 0))


def plain_attention(self: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    width = q.shape[-1]
    parts = zip((q, k, v), self.inner.weight.split(width), self.inner.bias.split(width), strict=True)
    heads = [F.linear(x, w, b).unflatten(-1, (self.heads, -1)).transpose(1, 2) for x, w, b in parts]
    scores = torch.softmax(heads[0] @ heads[1].transpose(-1, -2) / (width // self.heads) ** 0.5, -1)
    return self.outer((scores @ heads[2]).transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class PlainVgg:
    """The shipped VGG-16 with torch's own layers, to relu5_1."""

    def __init__(self, features: float) -> None:
        state = {name: value.float() for name, value in weights.vgg16_state().items()}
        self.layers = [(state[f"features.{i}.weight"], state[f"features.{i}.bias"] * features) for i in CONVOLUTIONS]
        self.layers[0] = (self.layers[0][0] * features, self.layers[0][1])
        self.mean, self.std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))

    def __call__(self, image: Tensor) -> Mapping[str, Tensor]:
        h, found = (image - self.mean) / self.std, {}
        for place, (weight, bias) in zip(PLACES, self.layers, strict=True):
            if place.endswith("_1") and place != "relu1_1":
                h = F.max_pool2d(h, 2)
            h = F.relu(F.conv2d(h, weight, bias, padding=1))
            if place in TAPS["original"]:
                found[place] = h
        return found


PLACES = [f"relu{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 1), 1) for i in range(1, n + 1)]
CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24]


def normalised(f: Tensor) -> Tensor:
    return (f - f.mean((2, 3), keepdim=True)) / (f.var((2, 3), keepdim=True) + losses.EPSILON).sqrt()


def direct(s: Training, net: Generator, vgg: PlainVgg, content: Tensor, style: Tensor) -> Tensor:
    """Equation 12 as it reads: L2, means of normalised features for L_c, L_sep2 with plus."""
    taps = TAPS["original"]
    o, ss, cc, r = net(content, style), net(style, style), net(content, content), net(style, content)
    of_s, of_c, of_o, of_ss, of_cc, of_r = (vgg(x) for x in (style, content, o, ss, cc, r))

    def mean_std(f: Tensor) -> tuple[Tensor, Tensor]:
        return f.mean((2, 3)), (f.var((2, 3)) + losses.EPSILON).sqrt()

    total = torch.zeros(())
    for tap in taps[-2:]:
        total = total + s.content_weight * F.mse_loss(normalised(of_o[tap]), normalised(of_c[tap]))
    for tap in taps:
        (mo, so), (ms, ss_), (mr, sr) = mean_std(of_o[tap]), mean_std(of_s[tap]), mean_std(of_r[tap])
        total = total + s.style_weight * (F.mse_loss(mo, ms) + F.mse_loss(so, ss_))
        total = total + s.id2_weight * (F.mse_loss(of_cc[tap], of_c[tap]) + F.mse_loss(of_ss[tap], of_s[tap]))
        content_gap = s.margin**2 - (of_o[tap] - of_r[tap]).flatten(1).square().sum(1)
        stats_gap = s.margin**2 - ((mo - mr).square().sum(1) + (so - sr).square().sum(1))
        total = total + s.separability_weight * (content_gap.relu() + stats_gap.relu()).mean()
    return total + s.id1_weight * (F.mse_loss(cc, content) + F.mse_loss(ss, style))


class Direct:
    """The same training with the same weights and batches, done the direct way."""

    def __init__(self, task: TrainingTask) -> None:
        self.task, self.vgg = task, PlainVgg(task.settings.features)
        self.net = Generator(task.settings)
        self.net.load_state_dict(task.net.state_dict())
        for module in self.net.modules():
            if isinstance(module, Attention):
                module.forward = plain_attention.__get__(module)  # type: ignore[method-assign]
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-4)

    def step(self, index: int) -> float:
        images, _ = self.task._batch(index)
        content, style = images.chunk(2)
        self.optimizer.zero_grad(set_to_none=True)
        total = direct(self.task.settings, self.net, self.vgg, content, style)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return total.item()


def interleaved(steps: list[Callable[[int], Any]], rounds: int) -> list[float]:
    """Median seconds of a call of each, taken in turns so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in steps]
    for index in range(rounds + 2):
        for step, spent in zip(steps, times, strict=True):
            start = time.perf_counter()
            step(index)
            spent.append(time.perf_counter() - start)
    return [statistics.median(spent[2:]) for spent in times]


@pytest.mark.parametrize("form", [{}, {"norm": "post", "cape": "attention", "decoder_attention": "memory"}])
def test_both_forms_have_the_same_loss_and_gradients(form: dict[str, Any]) -> None:
    task = ours(size=32, **form)
    reference = Direct(task)
    images, of_targets = task._batch(0)
    total = task.losses(images, of_targets).total
    expected = direct(task.settings, reference.net, reference.vgg, *images.chunk(2))
    assert total.item() == pytest.approx(expected.item(), rel=1e-4)
    mine = torch.autograd.grad(total, list(task.net.parameters()))
    theirs = torch.autograd.grad(expected, list(reference.net.parameters()))
    for a, b in zip(mine, theirs, strict=True):
        # Summed in another order through sixteen layers: compared by length, not entry by entry.
        assert float((a - b).norm()) <= 2e-3 * float(b.norm()) + 1e-6


def test_a_step_is_faster_than_the_direct_form() -> None:
    task = ours()
    before, after = interleaved([Direct(task).step, task.step], rounds=3)
    print(f"direct {1e3 * before:.0f} ms, batched {1e3 * after:.0f} ms, {before / after:.2f} x, float32")
    speed.at_least(before / after, 1.8)


@pytest.mark.slow
def test_a_step_is_faster_by_the_demanded_factor() -> None:
    task = ours()
    before, after = interleaved([Direct(task).step, task.step], rounds=15)
    print(f"direct {1e3 * before:.0f} ms, batched {1e3 * after:.0f} ms, {before / after:.2f} x, float32")
    speed.at_least(before / after, 1.8)


@pytest.mark.slow
@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not multiply in bfloat16")
def test_a_step_in_bfloat16_is_faster_still() -> None:
    task, half = ours(), ours(precision="bf16")
    before, full, after = interleaved([Direct(task).step, task.step, half.step], rounds=10)
    print(f"direct {1e3 * before:.0f} ms, float32 {1e3 * full:.0f} ms, bfloat16 {1e3 * after:.0f} ms")
    speed.at_least(before / after, 2.0)
