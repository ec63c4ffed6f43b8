"""The solver's speed: its proximal step, the matting Laplacian, one picture, a training step.

Each is held against a direct reference written here, interleaved in one run, with equal results asserted. Times are
processor seconds of this process on one thread, so that a busy machine moves both sides alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import speed
import torch
from torch import Tensor

from retable.bench.task import Context
from retable.models.stylizers import Decoder as DecoderSettings
from retable.models.stylizers import feedforward
from retable.models.stylizers.training import decoders_of, encoder_of
from retable.models.transfer import data
from retable.models.transfer.filtering import chebyshev_order, conjugate_gradients, graph_filter
from retable.models.transfer.matting import LARGEST_EIGENVALUE, Laplacian, laplacian
from retable.models.transfer.objective import loss_network
from retable.models.transfer.style import SCALES, everywhere, style_of
from retable.models.unrolled import Unrolled
from retable.models.unrolled.network import Solver
from retable.models.unrolled.training import UnrolledTask

WEIGHT = 100.0
"""2 lambda_L with the paper's lambda_L of 50."""


def seconds(run: Callable[[], object]) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


def interleaved(*runs: Callable[[], object], repeats: int = 5) -> list[float]:
    """Median seconds of each, after one round that warms up."""
    times: list[list[float]] = [[] for _ in runs]
    for round_ in range(repeats + 1):
        for i, run in enumerate(runs):
            took = seconds(run)
            if round_:
                times[i].append(took)
    return [statistics.median(t) for t in times]


def photograph(height: int, width: int) -> Tensor:
    return data.tensor(data.image("china", height, width))


def direct(matrix: Laplacian, y_3HW: Tensor) -> Tensor:
    """(I + w L)^-1 y by a sparse LU factorisation: what the proximal operator replaces."""
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import splu

    system = eye_array(y_3HW[0].numel()) + WEIGHT * matrix.csr()
    solved = splu(system.tocsc()).solve(y_3HW.double().flatten(1).T.numpy())
    return torch.from_numpy(solved.T.reshape(y_3HW.shape).copy())


def close(matrix: Laplacian, y: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Both ways, set to an error of 1e-3."""
    bound = LARGEST_EIGENVALUE
    order = chebyshev_order(WEIGHT, bound, 1e-3)
    return {
        "graph filter": lambda: graph_filter(matrix, y, WEIGHT, bound, order),
        "conjugate gradients": lambda: conjugate_gradients(lambda x: x + WEIGHT * matrix(x), y, 3e-4),
    }


def against_direct(height: int, width: int) -> dict[str, float]:
    """Direct time over each way's time; the results agree to 1e-3."""
    content = photograph(height, width)
    matrix = laplacian(content[0])
    y = (content + 0.3 * torch.randn(content.shape, generator=torch.Generator().manual_seed(0)))[0]
    expected: list[Tensor] = []
    took = seconds(lambda: expected.append(direct(matrix, y)))
    ways = close(matrix, y)
    for name, way in ways.items():
        assert float((way() - expected[0]).abs().max()) < 1.5e-3, name
    times = interleaved(*ways.values(), repeats=3)
    return {name: took / t for name, t in zip(ways, times, strict=True)}


def test_proximal_step_against_a_direct_solve() -> None:
    found = against_direct(96, 192)
    print(found)
    speed.at_least(max(found.values()), 4)


@pytest.mark.slow
def test_proximal_step_against_a_direct_solve_at_512x256() -> None:
    found = against_direct(256, 512)
    print(found)
    speed.at_least(min(found.values()), 15)


@pytest.mark.parametrize("way", ["graph filter", "conjugate gradients"])
def test_proximal_step_grows_with_the_number_of_pixels(way: str) -> None:
    sizes = [(64, 128), (128, 256), (256, 512)]
    runs = []
    for height, width in sizes:
        content = photograph(height, width)
        runs.append(close(laplacian(content[0]), content[0].flip(-1).contiguous())[way])
    times = interleaved(*runs, repeats=3)
    per_pixel = [1e6 * t / (h * w) for t, (h, w) in zip(times, sizes, strict=True)]
    print(way, [f"{t:.3f} s" for t in times], [f"{p:.2f} us/pixel" for p in per_pixel])
    speed.at_most(max(per_pixel[1:]) / per_pixel[0], 2.5)  # caches end, nothing worse


@pytest.mark.slow
def test_building_the_matting_laplacian_against_pymatting() -> None:
    pymatting = pytest.importorskip("pymatting", reason="what it is compared with: pip install pymatting")
    content = photograph(256, 512)
    array = content[0].permute(1, 2, 0).double().numpy()
    mine, its = laplacian(content[0], dtype=torch.float64).csr(), pymatting.cf_laplacian(array)
    assert abs(mine - its).max() < 1e-4
    ours, theirs = interleaved(lambda: laplacian(content[0]), lambda: pymatting.cf_laplacian(array), repeats=7)
    print(f"ours {1e3 * ours:.0f} ms, pymatting {1e3 * theirs:.0f} ms")
    speed.at_most(ours / theirs, 2.0)


@pytest.mark.slow
def test_stylising_512x256_against_adain_and_wct() -> None:
    content, style = photograph(256, 512), data.tensor(data.image("mosaic", 256, 512))
    vgg = loss_network()
    runs: dict[str, Callable[[], object]] = {}
    for width in (16, 64):
        solver = Solver(4, width).requires_grad_(False)
        runs[f"solver, L = {width}"] = lambda net=solver: net(content, everywhere(style_of(vgg, style)))  # type: ignore[misc]
    for method in ("adain", "wct"):
        settings = DecoderSettings(method=method, steps=1, images=1)  # type: ignore[arg-type]
        nets, encoder = decoders_of(settings).requires_grad_(False), encoder_of(settings, "cpu")
        stylise = feedforward.adain_stylised if method == "adain" else feedforward.wct_stylised
        runs[method] = lambda f=stylise, e=encoder, n=nets: f(e, n, content, style)  # type: ignore[misc]
    with torch.no_grad():
        times = dict(zip(runs, interleaved(*runs.values(), repeats=3), strict=True))
    print({name: f"{t:.2f} s" for name, t in times.items()})
    speed.at_least(times["adain"] / times["solver, L = 16"], 1.0)
    speed.at_least(times["wct"] / times["adain"], 1.0)


class Reference:
    """The training loss as one would first write it: every image through the network by itself, gradients kept."""

    def __init__(self, task: UnrolledTask) -> None:
        self.task, self.vgg = task, task.objective.vgg

    def gram(self, features: Tensor) -> Tensor:
        flat = features.flatten(2)
        return flat @ flat.transpose(1, 2) / flat.shape[2]

    def loss(self, content: Tensor, style: Tensor, betas: Tensor) -> Tensor:
        task = self.task
        grams = {s: self.gram(f) for s, f in self.vgg(style, SCALES).items()}
        alpha = sum(g.square().mean((1, 2)) for g in grams.values())
        guide = everywhere(style_of(self.vgg, style))
        total = torch.zeros(())
        for x in task.net(content, guide, betas):
            clipped = x.clamp(0, 1)
            features = self.vgg(clipped)
            target = self.vgg(content)["relu4_2"]
            loss = 0.02 * (features["relu4_2"] - target).square().mean((1, 2, 3))
            for i, s in enumerate(SCALES):
                loss = loss + betas[:, i] * (self.gram(features[s]) - grams[s]).square().mean((1, 2)) / alpha
            down = (clipped[:, :, 1:] - clipped[:, :, :-1]).abs().mean((1, 2, 3))
            across = (clipped[..., 1:] - clipped[..., :-1]).abs().mean((1, 2, 3))
            total = total + (loss + 0.3 * (down + across)).mean()
        return total


def test_training_step_against_a_direct_one() -> None:
    settings = Unrolled(iterations=3, width=16, size=64, images=8, held_out=1, steps=1, pairs=2, precision="fp32")
    task = UnrolledTask(settings, Context("cpu", 0))
    reference, objective = Reference(task), task.objective
    content, style = (data.tensor(task.images[i : i + 2]) for i in (0, 4))
    betas = torch.ones(2, 5)
    share: list[float] = []

    def ours() -> Tensor:
        began = time.process_time()
        target = objective.targets(content, style)
        between = time.process_time()
        found = task.net(content, everywhere(target.style), betas)
        after = time.process_time()
        loss = objective.over_iterations(found, target, betas).sum(0).mean()
        forward = time.process_time()
        gradients = torch.autograd.grad(loss, found[-1], retain_graph=True)
        measured = time.process_time()
        loss.backward()
        whole = time.process_time() - began - (measured - forward)
        share.append((between - began + forward - after + measured - forward) / whole)
        assert gradients
        return loss.detach()

    def plain() -> Tensor:
        loss = reference.loss(content, style, betas)
        loss.backward()
        return loss.detach()

    torch.testing.assert_close(ours(), plain(), rtol=1e-4, atol=1e-5)

    def quick() -> None:
        target = objective.targets(content, style)
        objective.over_iterations(task.net(content, everywhere(target.style), betas), target, betas).sum(
            0
        ).mean().backward()

    mine, its = interleaved(quick, plain, repeats=4)
    print(f"ours {1e3 * mine:.0f} ms, direct {1e3 * its:.0f} ms, loss network {np.median(share):.0%} of ours")
    speed.at_least(its / mine, 1.1)
