"""Proximal operators: each minimises its objective, none inverts a matrix, and composed ones keep both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retable.models.transfer.filtering import chebyshev_order, conjugate_gradients, graph_filter
from retable.models.transfer.matting import LARGEST_EIGENVALUE, Laplacian, laplacian
from retable.models.unrolled.proximal import compose, gaussian_downsampling, low_resolution, photorealism, temporal


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(seed: int, height: int = 20, width: int = 26) -> Tensor:
    """A picture with structure: what matting Laplacians are of."""
    coarse = rand(1, 3, 5, 5, seed=seed)
    picture = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return (picture + 0.02 * rand(1, 3, height, width, seed=seed + 1)).clamp(0, 1)


def assert_minimises(point: Tensor, y: Tensor, regulariser: Callable[[Tensor], Tensor], slack: float = 1e-9) -> None:
    """No nearby image, in whatever direction, has a lower |X - Y|^2 / 2 + R(X)."""

    def value(x: Tensor) -> float:
        return float((x - y).square().sum() / 2 + regulariser(x))

    at = value(point)
    g = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-1):
        for _ in range(6):
            step = size * torch.randn(point.shape, generator=g, dtype=torch.float64)
            assert value(point + step) > at - slack


class TestMattingLaplacian:
    def test_is_the_one_of_the_paper(self) -> None:
        # Levin et al., equation 12, window by window.
        image, epsilon = smooth(0, 6, 7), 1e-4
        h, w = image.shape[-2:]
        expected = np.zeros((h * w, h * w))
        pixels = image[0].permute(1, 2, 0).numpy()
        for y in range(h - 2):
            for x in range(w - 2):
                places = [(y + dy) * w + x + dx for dy in range(3) for dx in range(3)]
                colours = pixels[y : y + 3, x : x + 3].reshape(9, 3)
                centred = colours - colours.mean(0)
                inverse = np.linalg.inv(centred.T @ centred / 9 + epsilon / 9 * np.eye(3))
                expected[np.ix_(places, places)] += np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
        found = laplacian(image[0], epsilon, torch.float64)
        np.testing.assert_allclose(found.csr().toarray(), expected, atol=1e-9)

    def test_product_is_that_of_the_matrix(self) -> None:
        found, x = laplacian(smooth(1)[0], dtype=torch.float64), rand(3, 20, 26)
        expected = found.csr() @ x.reshape(3, -1).T.numpy()
        np.testing.assert_allclose(found(x).reshape(3, -1).T.numpy(), expected, atol=1e-12)

    @given(st.integers(0, 1000))
    @settings(max_examples=8, deadline=None)
    def test_spectrum_lies_between_zero_and_the_bound(self, seed: int) -> None:
        values = np.linalg.eigvalsh(laplacian(smooth(seed, 9, 11)[0], dtype=torch.float64).csr().toarray())
        assert values[0] > -1e-7
        assert values[-1] <= LARGEST_EIGENVALUE

    def test_affine_functions_of_the_colours_cost_next_to_nothing(self) -> None:
        image = smooth(2)
        found = laplacian(image[0], dtype=torch.float64)
        affine = 0.5 * image[0, :1] - 0.3 * image[0, 1:2] + 0.2
        assert float(found.energy(affine)) < 1e-3 * float(found.energy(rand(1, 20, 26)))
        assert float(found.energy(torch.ones(1, 20, 26, dtype=torch.float64))) == pytest.approx(0, abs=1e-9)

    def test_too_small_an_image_is_refused(self) -> None:
        with pytest.raises(ValueError, match="2x5 pixels"):
            laplacian(torch.rand(3, 5, 2))


class TestFiltering:
    @given(weight=st.floats(0.1, 200), tolerance=st.sampled_from([1e-1, 1e-2, 1e-3]))
    @settings(max_examples=20, deadline=None)
    def test_the_order_keeps_its_promise_and_is_tight(self, weight: float, tolerance: float) -> None:
        spectrum = torch.linspace(0, 9, 400, dtype=torch.float64)[None]

        def error(order: int) -> float:
            ones = torch.ones_like(spectrum)
            return float(
                (graph_filter(lambda x: spectrum * x, ones, weight, 9, order) - 1 / (1 + weight * spectrum)).abs().max()
            )

        order = chebyshev_order(weight, 9, tolerance)
        assert error(order) <= tolerance * (1 + 1e-9)
        if order > 2:
            assert error(order - 1) > tolerance * (1 - 1e-6)

    def test_both_ways_agree_with_a_direct_solve(self) -> None:
        from scipy.sparse import eye_array
        from scipy.sparse.linalg import spsolve

        matrix, y, weight = laplacian(smooth(3)[0], dtype=torch.float64), rand(3, 20, 26), 100.0
        system = (eye_array(20 * 26) + weight * matrix.csr()).tocsc()
        expected = torch.from_numpy(spsolve(system, y.reshape(3, -1).T.numpy()).T.reshape(3, 20, 26).copy())
        filtered = graph_filter(matrix, y, weight, 9.0, chebyshev_order(weight, 9.0, 1e-6))
        solved = conjugate_gradients(lambda x: x + weight * matrix(x), y, 1e-10)
        torch.testing.assert_close(filtered, expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(solved, expected, rtol=0, atol=1e-8)

    def test_conjugate_gradients_say_when_they_do_not_arrive(self) -> None:
        matrix = laplacian(smooth(3)[0], dtype=torch.float64)
        with pytest.raises(RuntimeError, match="in 3 steps: raise the tolerance"):
            conjugate_gradients(lambda x: x + 100 * matrix(x), rand(3, 20, 26), 1e-10, limit=3)

    def test_a_channel_of_zeros_is_solved_beside_others(self) -> None:
        y = torch.stack([torch.zeros(20, 26), torch.ones(20, 26)]).double()
        assert torch.equal(conjugate_gradients(lambda x: 2 * x, y, 1e-6), y / 2)


class TestPhotorealism:
    @given(seed=st.integers(0, 100), weight=st.sampled_from([0.5, 50.0]))
    @settings(max_examples=6, deadline=None)
    def test_minimises(self, seed: int, weight: float) -> None:
        content, y = smooth(seed), rand(1, 3, 20, 26, seed=seed + 7)
        matrix = laplacian(content[0], dtype=torch.float64)
        point = photorealism(matrix, weight, "conjugate_gradients", 1e-10)(y)
        assert_minimises(point, y, lambda x: weight * matrix.energy(x))

    @pytest.mark.parametrize("method", ["graph_filter", "conjugate_gradients"])
    def test_methods_agree_and_leave_the_content_alone(self, method: str) -> None:
        content = smooth(1).float()
        operator = photorealism(content, 50.0, method, 1e-4)  # type: ignore[arg-type]
        assert float((operator(content) - content).abs().max()) < 0.02
        noise = rand(1, 3, 20, 26).float()
        exact = photorealism(content, 50.0, "conjugate_gradients", 1e-8)(noise)
        assert float((operator(noise) - exact).abs().max()) < 2e-3

    def test_no_weight_is_no_operator(self) -> None:
        y = rand(1, 3, 20, 26)
        assert torch.equal(photorealism(smooth(0), 0.0)(y), y)

    def test_a_batch_of_contents_is_refused(self) -> None:
        with pytest.raises(ValueError, match="one operator for each"):
            photorealism(torch.rand(2, 3, 8, 8))


class TestTemporal:
    @given(seed=st.integers(0, 100), weight=st.floats(0.01, 10))
    @settings(max_examples=10, deadline=None)
    def test_minimises(self, seed: int, weight: float) -> None:
        y, warped, valid = rand(1, 3, 8, 9, seed=seed), rand(1, 3, 8, 9, seed=seed + 1), rand(1, 1, 8, 9, seed=seed + 2)
        point = temporal(warped, valid, weight)(y)
        assert_minimises(point, y, lambda x: weight * (valid * (warped - x)).square().sum())

    def test_leaves_pixels_alone_that_nothing_is_known_of(self) -> None:
        y, warped = rand(1, 3, 8, 9), rand(1, 3, 8, 9, seed=1)
        valid = torch.zeros(1, 1, 8, 9, dtype=torch.float64)
        assert torch.equal(temporal(warped, valid, 1e6)(y), y)
        torch.testing.assert_close(temporal(warped, valid + 1, 1e12)(y), warped)


class TestLowResolution:
    def test_the_adjoint_is_the_adjoint(self) -> None:
        d = gaussian_downsampling(27, 36)
        x, y = rand(1, 2, 27, 36), rand(1, 2, 9, 12)
        torch.testing.assert_close((d(x) * y).sum(), (x * d.adjoint(y)).sum())

    def test_is_the_filter_and_stride_of_the_paper(self) -> None:
        d, x = gaussian_downsampling(60, 60), rand(1, 1, 60, 60)
        taps = torch.exp(-0.5 * (torch.arange(-8.0, 9) / 3) ** 2).double()
        kernel = (taps[:, None] * taps / taps.sum() ** 2)[None, None]
        padded = torch.nn.functional.pad(x, (8, 8, 8, 8), mode="reflect")
        torch.testing.assert_close(d(x), torch.nn.functional.conv2d(padded, kernel)[..., 1::3, 1::3])

    @pytest.mark.parametrize("stride", [2, 3, 4])
    def test_a_pixel_stands_for_the_middle_of_those_it_was_made_of(self, stride: int) -> None:
        d, ramp = gaussian_downsampling(60, 60, stride), torch.arange(60.0).expand(1, 1, 60, 60).double()
        inner = slice(12 // stride, -12 // stride)
        expected = torch.arange(60 // stride).double() * stride + (stride - 1) / 2
        torch.testing.assert_close(d(ramp)[0, 0, 0, inner], expected[inner])

    @given(seed=st.integers(0, 100), weight=st.sampled_from([0.3, 50.0]))
    @settings(max_examples=6, deadline=None)
    def test_minimises(self, seed: int, weight: float) -> None:
        d = gaussian_downsampling(18, 21)
        y, low = rand(1, 1, 18, 21, seed=seed), rand(1, 1, 6, 7, seed=seed + 1)
        point = low_resolution(low, d, weight)(y)
        assert_minimises(point, y, lambda x: weight * (low - d(x)).square().sum())

    @pytest.mark.parametrize(("height", "width"), [(20, 21), (6, 21)])
    def test_sizes_that_do_not_fit_are_refused(self, height: int, width: int) -> None:
        with pytest.raises(ValueError, match="multiples of 3"):
            gaussian_downsampling(height, width)


class TestComposition:
    def test_is_one_after_the_other(self) -> None:
        y = rand(1, 3, 20, 26)
        double, add = (lambda x: 2 * x), (lambda x: x + 1)
        assert torch.equal(compose(double, add)(y), 2 * y + 1)

    @given(st.integers(0, 100))
    @settings(max_examples=6, deadline=None)
    def test_keeps_both(self, seed: int) -> None:
        content, y = smooth(seed), rand(1, 3, 20, 26, seed=seed + 3)
        matrix = laplacian(content[0], dtype=torch.float64)
        warped, valid = smooth(seed + 9), torch.ones(1, 1, 20, 26, dtype=torch.float64)
        both = compose(photorealism(matrix, 50.0), temporal(warped, valid, 0.37))(y)

        def affine(x: Tensor) -> float:
            return float(matrix.energy(x[0]))

        def apart(x: Tensor) -> float:
            return float((x - warped).square().sum())

        # Less far from the last frame than without the second, less non-affine than without the first.
        assert apart(both) < apart(photorealism(matrix, 50.0)(y))
        assert affine(both) < affine(temporal(warped, valid, 0.37)(y))
        assert affine(both) < affine(y)
        assert apart(both) < apart(y)


def test_the_stencil_is_symmetric() -> None:
    found: Laplacian = laplacian(smooth(5)[0], dtype=torch.float64)
    a, b = rand(20, 26, seed=1), rand(20, 26, seed=2)
    torch.testing.assert_close((a * found(b)).sum(), (b * found(a)).sum())
