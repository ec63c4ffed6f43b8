"""The unrolled solver: figure 2's shapes, the controls of section 4.1, and what its gradient is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.models.transfer.style import CHANNELS, SCALES, Region, Style, everywhere, gram, measure, mix, regions
from retable.models.unrolled.network import Solver, Update


def a_style(seed: int, batch: int = 1) -> Style:
    g = torch.Generator().manual_seed(seed)
    features = {s: torch.rand((batch, c, 6, 6), generator=g) for s, c in zip(SCALES, CHANNELS, strict=True)}
    return measure(features)


def a_solver(iterations: int = 1, **options: object) -> Solver:
    """With one iteration the Heaviside masks of two runs agree, whatever rounding does to the updates."""
    torch.manual_seed(0)
    net = Solver(iterations, 4, **options)  # type: ignore[arg-type]
    for update in net.updates:  # so that updates are of the image's size
        for h in update.h:
            h.data *= 30
    return net.requires_grad_(False)


IMAGE = torch.rand((1, 3, 40, 56), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("width", "count"), [(8, 307_495), (16, 921_407), (64, 11_039_951)])
def test_an_update_has_the_parameters_of_the_architecture(width: int, count: int) -> None:
    # 15 backward and 5 forward convolutions with biases, and G and H at five scales.
    found = sum(p.numel() for p in Update(width).parameters())
    widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
    inputs = [3, *widths[:-1]]
    down = sum(9 * i * o + o for i, o in zip(inputs, widths, strict=True))
    up = sum(9 * inputs[k] * widths[k] + inputs[k] for s in range(5) for k in range(s + 1))
    assert found == down + up + sum(2 * c * w for c, w in zip(CHANNELS, widths, strict=True)) == count


@settings(max_examples=12, deadline=None)
@given(height=st.integers(17, 50), width=st.integers(17, 50))
def test_every_size_comes_back_as_it_was(height: int, width: int) -> None:
    image = torch.rand(1, 3, height, width)
    found = a_solver(2)(image, everywhere(a_style(0)))
    assert [f.shape for f in found] == [image.shape] * 2


def test_too_small_an_image_is_refused_by_its_size() -> None:
    with pytest.raises(ValueError, match="16x40 pixels; both sides must be at least 17"):
        a_solver()(torch.rand(1, 3, 40, 16), everywhere(a_style(0)))


def test_zero_intensity_returns_the_content() -> None:
    found = a_solver()(IMAGE, everywhere(a_style(0)), intensity=0)
    assert torch.equal(found[-1], IMAGE)
    assert not torch.allclose(a_solver()(IMAGE, everywhere(a_style(0)))[-1], IMAGE, atol=1e-3)


@given(share=st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_mixing_a_style_with_itself_changes_nothing(share: float) -> None:
    style, net = a_style(3), a_solver()
    alone = net(IMAGE, everywhere(style))[-1]
    mixed = net(IMAGE, everywhere(style, style, weights=[share, 1 - share]))[-1]
    torch.testing.assert_close(mixed, alone, rtol=1e-3, atol=1e-4)


def test_all_the_weight_on_one_style_is_that_style() -> None:
    net = a_solver()
    alone = net(IMAGE, everywhere(a_style(1)))[-1]
    torch.testing.assert_close(net(IMAGE, everywhere(a_style(1), a_style(2), weights=[1, 0]))[-1], alone)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([0.5, 0.6], "sum to 1, not 0.5, 0.6"), ([1.5, -0.5], "at least 0"), ([1.0], "2 styles but 1 weights")],
)
def test_weights_that_do_not_share_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mix([a_style(1), a_style(2)], weights)


def test_styles_in_regions_act_where_their_masks_are() -> None:
    mask = torch.zeros(1, 1, 64, 256)
    mask[..., 128:] = 1
    image, net = torch.rand(1, 3, 64, 256), a_solver()
    one, two = a_style(1), a_style(2)
    split = net(image, regions([one, two], [1 - mask, mask]))[-1]
    left, right = net(image, everywhere(one))[-1], net(image, everywhere(two))[-1]
    # An update sees some 60 pixels around a pixel; farther from the border, each half is its own.
    torch.testing.assert_close(split[..., :4], left[..., :4])
    torch.testing.assert_close(split[..., -4:], right[..., -4:])
    assert not torch.allclose(left[..., :4], right[..., :4], atol=1e-4)


def test_equal_styles_in_regions_are_one_style() -> None:
    mask = torch.rand(1, 1, 40, 56)
    split = a_solver()(IMAGE, regions([a_style(1), a_style(1)], [mask, 1 - mask]))[-1]
    torch.testing.assert_close(split, a_solver()(IMAGE, everywhere(a_style(1)))[-1], rtol=1e-3, atol=1e-4)


def test_masks_that_leave_out_or_overlap_are_named() -> None:
    left, all_of_it = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    left[..., :4] = 1
    with pytest.raises(ValueError, match=r"50.0% of the pixels in none"):
        regions([a_style(1)], [left])
    with pytest.raises(ValueError, match=r"50.0% of the pixels in more than one"):
        regions([a_style(1), a_style(2)], [left, all_of_it])
    with pytest.raises(ValueError, match="differ in size: 8x4, 8x8"):
        regions([a_style(1), a_style(2)], [left[..., :4, :], all_of_it])
    with pytest.raises(ValueError, match="a mask is 8x8 pixels, the content 56x40"):
        a_solver()(IMAGE, [Region(mix([a_style(1)], [1.0]), all_of_it)])


def test_a_scale_that_is_off_adds_nothing_and_scales_add_up() -> None:
    update = a_solver().updates[0]
    guide = everywhere(a_style(1))
    image = torch.rand(1, 3, 32, 32)
    parts = [update(image, guide, torch.eye(5)[s : s + 1]) for s in range(5)]
    whole = update(image, guide, torch.ones(1, 5))
    torch.testing.assert_close(torch.stack(parts).sum(0), whole, rtol=1e-4, atol=1e-5)
    assert float(update(image, guide, torch.zeros(1, 5)).abs().max()) == 0


def test_each_image_of_a_batch_has_its_own_style_and_scales() -> None:
    g = torch.Generator().manual_seed(2)
    features = {s: torch.rand((2, c, 6, 6), generator=g) for s, c in zip(SCALES, CHANNELS, strict=True)}
    both, betas = measure(features), torch.tensor([[1.0, 0, 1, 1, 0], [0, 1, 1, 0, 1]])
    images, net = torch.rand(2, 3, 32, 48), a_solver()
    together = net(images, everywhere(both), betas)[-1]
    for i in range(2):
        own = measure({s: f[i : i + 1] for s, f in features.items()})
        alone = net(images[i : i + 1], everywhere(own), betas[i : i + 1])[-1]
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-3)


def test_the_backward_map_is_the_gradient_of_the_forward_map() -> None:
    """With filters turned round, b is the derivative of f: that is what the Heaviside nonlinearity is for."""
    torch.manual_seed(0)
    update = Update(4, backward="shared").double()
    for down, up in zip(update.down, update.up[0], strict=True):
        down.padding_mode = up.padding_mode = "zeros"
        up.bias.data.zero_()
        # A convolution's adjoint; average pooling's is a quarter of nearest enlargement.
        up.weight.data = down.weight.data.transpose(0, 1).flip(2, 3)
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    one = Region({s: torch.eye(c, dtype=torch.float64)[None] for s, c in zip(SCALES, CHANNELS, strict=True)})
    # Weights on the first scale alone: sum of squares / 2 of f_1 has f_1 as its derivative there.
    update.g[0].data, update.h[0].data = (torch.zeros(64, 4, dtype=torch.float64) for _ in range(2))
    for c in range(4):
        update.g[0].data[c, c] = update.h[0].data[c, c] = 1.0
    found = update(image, [one], torch.tensor([[1.0, 0, 0, 0, 0]], dtype=torch.float64))
    features = torch.relu(update.down[0](image))
    (gradient,) = torch.autograd.grad(features.square().sum() / 2, image)
    torch.testing.assert_close(found, gradient.float(), rtol=1e-5, atol=1e-5)


def test_the_difference_of_equation_6_vanishes_where_the_image_has_the_style() -> None:
    update = a_solver(derivative="difference").updates[0]
    image = torch.rand(1, 3, 32, 32)
    own = gram(torch.relu(update.down[0](image)))  # [1, 4, 4]
    for matrix in (update.g[0], update.h[0]):
        matrix.data = torch.eye(64, 4)
    matrices = {s: torch.zeros(1, c, c) for s, c in zip(SCALES, CHANNELS, strict=True)}
    first = torch.tensor([[1.0, 0, 0, 0, 0]])
    assert float(update(image, [Region(matrices)], first).abs().max()) > 1e-2
    matrices[SCALES[0]][:, :4, :4] = own
    torch.testing.assert_close(update(image, [Region(matrices)], first), torch.zeros_like(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"nonlinearity": "heaviside"}, {"nonlinearity": "relu"}, {"derivative": "difference"}, {"backward": "shared"}],
    ids=str,
)
def test_every_form_trains(options: dict[str, str]) -> None:
    net = a_solver(**options).requires_grad_(True)
    net(IMAGE, everywhere(a_style(1)))[-1].square().sum().backward()
    missing = [n for n, p in net.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    # The last convolution of a forward trunk is seen by its own scale alone; everything has a gradient.
    assert missing == []
