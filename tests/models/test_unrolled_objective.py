"""L_TV of section 5.1, against its equations written out, and the parts of training that are random."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.bench.data import photos
from retable.models.transfer.objective import LAYERS, Objective, loss_network, noisy, random_betas, total_variation_B
from retable.models.transfer.style import SCALES, everywhere, mix, style_of


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.from_numpy(photos.crops(4, 48, seed=5)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def objective() -> Objective:
    return Objective(loss_network())


def test_is_the_equations_of_the_paper(pictures: torch.Tensor, objective: Objective) -> None:
    x, content, style = pictures[:1], pictures[1:2], pictures[2:3]
    f, c, s = (objective.vgg(image) for image in (x, content, style))

    def gram(features: torch.Tensor) -> torch.Tensor:
        rows = features[0].flatten(1).T.double()  # F: n x c
        return rows.T @ rows / len(rows)

    alpha = sum(gram(s[layer]).square().sum() / s[layer].shape[1] ** 2 for layer in SCALES)
    expected = 0.02 * (f["relu4_2"] - c["relu4_2"]).double().square().sum() / f["relu4_2"].numel()
    for layer in SCALES:
        difference = gram(f[layer]) - gram(s[layer])
        expected += difference.square().sum() / f[layer].shape[1] ** 2 / alpha
    expected += 0.3 * ((x[..., 1:] - x[..., :-1]).abs().mean() + (x[:, :, 1:] - x[:, :, :-1]).abs().mean())
    found = objective(x, objective.targets(content, style))
    assert float(found.total_B) == pytest.approx(float(expected), rel=1e-4)


def test_an_image_against_itself_leaves_only_its_variation(pictures: torch.Tensor, objective: Objective) -> None:
    found = objective(pictures, objective.targets(pictures, pictures))
    torch.testing.assert_close(found.total_B, 0.3 * total_variation_B(pictures), rtol=1e-4, atol=1e-6)


def test_one_pass_over_iterations_is_the_sum_of_its_parts(pictures: torch.Tensor, objective: Objective) -> None:
    target = objective.targets(pictures[:2], pictures[2:])
    betas = torch.tensor([[1.0, 0, 1, 0, 2], [0, 1, 1, 1, 0]])
    images = [pictures[:2] * 0.5, pictures[2:], pictures[:2] + 0.3]
    together = objective.over_iterations(images, target, betas)
    apart = torch.stack([objective(image, target, betas).total_B for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-6)


def test_targets_carry_no_gradient_and_pixels_are_clipped(pictures: torch.Tensor, objective: Objective) -> None:
    content = pictures[:1].clone().requires_grad_()
    target = objective.targets(content, pictures[1:2])
    assert not target.content_BCHW.requires_grad
    image = (pictures[2:3] * 3 - 1).requires_grad_()
    objective(image, target).total_B.sum().backward()
    assert image.grad is not None
    outside = (image < 0) | (image > 1)
    assert float(image.grad[outside].abs().max()) == 0
    assert float(image.grad[~outside].abs().max()) > 0


def test_styles_may_have_another_size_than_contents(pictures: torch.Tensor, objective: Objective) -> None:
    target = objective.targets(pictures[:1], pictures[1:2, :, :33, :40])
    expected = style_of(objective.vgg, pictures[1:2, :, :33, :40])
    torch.testing.assert_close(target.style.alpha_B, expected.alpha_B)


def test_a_floor_keeps_dark_styles_from_drowning_others(pictures: torch.Tensor) -> None:
    dark = 0.02 * pictures[:1]
    plain, bounded = Objective(loss_network()), Objective(loss_network(), alpha_floor=50.0)
    loss = float(plain(pictures[1:2], plain.targets(pictures[1:2], dark)).total_B)
    assert float(bounded.targets(pictures[1:2], dark).style.alpha_B) == 50.0
    assert float(bounded(pictures[1:2], bounded.targets(pictures[1:2], dark)).total_B) < loss


def test_every_filter_of_the_loss_network_counts_about_one() -> None:
    crops = torch.from_numpy(photos.crops(10, 128, seed=0)).permute(0, 3, 1, 2).float() / 255
    for layer, features in loss_network()(crops).items():
        means = features.mean((0, 2, 3))
        assert float(means.max()) == pytest.approx(1, abs=1e-3), layer
    assert set(loss_network()(crops[:1])) == set(LAYERS)


def test_mixture_of_a_style_with_itself_is_that_style(pictures: torch.Tensor, objective: Objective) -> None:
    style = style_of(objective.vgg, pictures[:1])
    for scale, matrix in mix([style, style], [0.3, 0.7]).items():
        torch.testing.assert_close(matrix, everywhere(style)[0].matrices[scale])


@given(seed=st.integers(0, 1000), amplitude=st.floats(0, 0.2))
@settings(max_examples=20, deadline=None)
def test_noise_is_bounded_centred_and_each_images_own(seed: int, amplitude: float) -> None:
    noise = noisy(torch.zeros(3, 3, 64, 64), amplitude, torch.Generator().manual_seed(seed))
    assert float(noise.abs().max()) <= amplitude
    assert float(noise.mean((1, 2, 3)).abs().max()) <= 0.05 * amplitude + 1e-9
    if amplitude > 0.01:
        assert len({round(float(n.std()), 7) for n in noise}) == 3


def test_switches_keep_their_expectation() -> None:
    betas = random_betas(20_000, 0.9, torch.Generator().manual_seed(0))
    assert betas.shape == (20_000, 5)
    assert sorted(set(betas.flatten().tolist())) == pytest.approx([0, 1 / 0.9])
    assert float(betas.mean()) == pytest.approx(1, abs=0.01)
