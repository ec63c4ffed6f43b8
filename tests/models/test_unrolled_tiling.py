"""Tiles make the picture that the whole would have made, whatever their size."""

from __future__ import annotations

import itertools

import pytest
import torch

from retable.models.transfer.style import CHANNELS, SCALES, Region, Style, mix
from retable.models.unrolled.network import Solver
from retable.models.unrolled.proximal import Proximal
from retable.models.unrolled.tiling import MARGIN, _side, solved, tiles


def style(seed: int) -> Style:
    g = torch.Generator().manual_seed(seed)
    features = {s: torch.rand((1, c, 50), generator=g) for s, c in zip(SCALES, CHANNELS, strict=True)}
    return Style({s: f @ f.transpose(1, 2) / 50 for s, f in features.items()}, torch.ones(1))


@pytest.fixture(scope="module")
def solver() -> Solver:
    torch.manual_seed(0)
    return Solver(2, 4).requires_grad_(False)


@pytest.mark.parametrize("side", [32, 96, 400])
@pytest.mark.parametrize("backward", ["separate", "shared"])
def test_tiles_equal_the_whole(side: int, backward: str) -> None:
    torch.manual_seed(0)
    net = Solver(2, 4, backward=backward).requires_grad_(False)  # type: ignore[arg-type]
    content, guide = torch.rand(1, 3, 203, 310), [Region(mix([style(1)], [1.0]))]
    whole = net(content, guide)[-1]
    assert float((whole - content).abs().mean()) > 1e-3
    torch.testing.assert_close(solved(net, content, guide, side=side), whole, rtol=1e-4, atol=1e-5)


def test_so_they_do_with_regions_scales_and_an_operator_that_sees_the_whole(solver: Solver) -> None:
    content, mask = torch.rand(1, 3, 150, 170), torch.rand(1, 1, 150, 170)
    guide = [Region(mix([style(1)], [1.0]), mask), Region(mix([style(2)], [1.0]), 1 - mask)]
    towards: Proximal = lambda x: 0.5 * (x + x.mean((2, 3), keepdim=True))  # noqa: E731
    whole = solver(content, guide, (1, 0, 1, 1, 0), intensity=0.7, proximal=towards)[-1]
    found = solved(solver, content, guide, (1, 0, 1, 1, 0), 0.7, towards, side=48)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


def test_what_needs_the_whole_picture_is_not_cut() -> None:
    torch.manual_seed(0)
    net = Solver(1, 4, derivative="difference").requires_grad_(False)
    content, guide = 0.1 * torch.rand(1, 3, 100, 120), [Region(mix([style(1)], [1.0]))]
    torch.testing.assert_close(solved(net, content, guide, side=32), net(content, guide)[-1])


def test_every_pixel_counts_once_and_the_width_decides_how_large_a_tile_is() -> None:
    count = torch.zeros(1, 1, 160, 224)
    for outer, core, within in tiles(160, 224, 64):
        count[:, :, core[0], core[1]] += 1
        for o, c, w in zip(outer, core, within, strict=True):
            assert o.start + w.start == c.start and w.stop - w.start == c.stop - c.start
            assert o.start % 16 == 0 and (o.start == 0 or c.start - o.start == MARGIN)
    assert (count == 1).all()
    sides = [_side(width) for width in (4, 16, 64, 128)]
    assert all(a >= b for a, b in itertools.pairwise(sides)) and all(s % 16 == 0 and s >= 2 * MARGIN for s in sides)
