"""The methods that the solver is compared with: each does what its paper says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retable.bench.data import photos
from retable.bench.task import Context, Evaluation, find_task, load
from retable.models.stylizers import feedforward, references, transforms
from retable.models.stylizers.decoders import CHANNELS, Decoder, encoder, pooling_places
from retable.models.stylizers.superresolution import Srcnn, bicubic, luminance, psnr, reduced
from retable.models.transfer import data
from retable.models.transfer.matting import laplacian

SMALL: dict[str, Any] = {"images": 8, "size": 48, "held_out": 2}


def run(name: str, start: Any = None, **given_: Any) -> tuple[Evaluation, list[float]]:
    """A task from beginning to end, as a worker runs it."""
    spec = find_task(name)
    torch.manual_seed(0)
    task = load(spec.make)(spec.settings(**given_), Context("cpu", 0, start))
    losses = [float(task.step(i)["loss/total"]) for i in range(task.steps)]
    evaluation = task.evaluate()
    assert set(evaluation.metrics) <= set(spec.metrics)
    assert all(np.isfinite(v) for v in evaluation.metrics.values())
    return evaluation, losses


@pytest.fixture(scope="module")
def decoders() -> dict[str, Any]:
    return {
        m: run("decoder", method=m, steps=2, batch_size=2, precision="fp32", **SMALL)[0].model
        for m in ("adain", "wct", "photo_wct")
    }


class TestTransforms:
    def test_adain_gives_each_channel_the_styles_mean_and_deviation(self) -> None:
        content, style = torch.rand(2, 5, 7, 9), torch.rand(2, 5, 4, 6) * 3 + 1
        found = transforms.statistics(transforms.adain(content, style))
        for mine, its in zip(found, transforms.statistics(style), strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3)

    @given(seed=st.integers(0, 100))
    @settings(max_examples=8, deadline=None)
    def test_wct_gives_the_styles_mean_and_covariance(self, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        content, style = torch.rand((1, 6, 10, 11), generator=g), torch.randn((1, 6, 12, 9), generator=g)
        found = transforms.wct(content, style)[0].flatten(1)
        expected = style[0].flatten(1)
        torch.testing.assert_close(found.mean(1), expected.mean(1), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(torch.cov(found), torch.cov(expected), rtol=1e-3, atol=1e-3)

    def test_wct_without_strength_is_the_content(self) -> None:
        content = torch.rand(1, 6, 5, 5)
        torch.testing.assert_close(transforms.wct(content, torch.rand(1, 6, 5, 5), 0.0), content)

    def test_wct_stands_channels_that_are_dead_or_repeat_each_other(self) -> None:
        content = torch.rand(1, 6, 10, 11)
        content[:, 0] = 0
        content[:, 2] = content[:, 1]
        assert bool(torch.isfinite(transforms.wct(content, torch.rand(1, 6, 9, 9))).all())


class TestDecoders:
    @pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 51)])
    def test_come_back_to_the_images_size(self, level: int, height: int, width: int) -> None:
        features = torch.rand(1, CHANNELS[level - 1], height >> (level - 1), width >> (level - 1))
        assert Decoder(level, 0.125)(features, height, width).shape == (1, 3, height, width)

    def test_unpooling_puts_values_where_the_maxima_were(self) -> None:
        vgg = encoder([1, 2], poolings=True)
        image = torch.rand(1, 3, 32, 32)
        (places,) = pooling_places(vgg, image, 2)
        before = vgg(image, ["relu1_2"])["relu1_2"]
        pooled = torch.nn.functional.max_pool2d(before, 2)
        again = torch.nn.functional.max_unpool2d(pooled, places, [2, 2], output_size=(32, 32))
        assert bool(((again == 0) | (again == before)).all())


class TestSmoothing:
    def test_both_ways_agree(self) -> None:
        content, image = torch.rand(1, 3, 18, 22), torch.rand(1, 3, 18, 22)
        direct = feedforward.smoothed(image, content)
        solved = feedforward.smoothed(image, content, "conjugate_gradients")
        torch.testing.assert_close(direct, solved, rtol=0, atol=2e-3)

    def test_takes_its_structure_from_the_content(self) -> None:
        content = torch.full((1, 3, 20, 24), 0.2)
        content[..., 12:] = 0.8
        content += 0.01 * torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
        noise = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(1))
        matrix = laplacian(content[0])
        smooth = feedforward.smoothed(noise, content)
        assert float(matrix.energy(smooth[0])) < 0.1 * float(matrix.energy(noise[0]))

    def test_leaves_what_is_flat_as_it_is(self) -> None:
        content = data.tensor(data.image("chelsea", 40, 56))
        content[..., 20, 30] = 1.0  # a pixel unlike its neighbours, and the border, keep the colour too
        flat = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand_as(content)
        torch.testing.assert_close(feedforward.smoothed(flat, content), flat, rtol=0, atol=0.12)


class TestOptimisedImages:
    def test_lbfgs_lowers_the_loss_and_photorealism_keeps_it_affine(self) -> None:
        plain, losses = run("gatys", resolution="48x48", steps=8, style="swirls")
        photo, _ = run("deep_photo", resolution="48x48", steps=8, style="swirls", affine_weight=1000.0)
        assert losses[-1] < 0.95 * losses[0]
        assert plain.metrics["loss/total"] < losses[0]
        assert photo.metrics["quality/affine"] < plain.metrics["quality/affine"]
        assert plain.metrics["loss/total"] < photo.metrics["loss/total"]

    def test_lbfgs_goes_on_after_a_step_that_was_too_long(self) -> None:
        evaluation, losses = run("gatys", resolution="40x40", steps=24, content="chelsea", style="mosaic")
        assert all(later < now for now, later in zip(losses, losses[4:], strict=False))
        assert evaluation.metrics["loss/total"] < 0.5 * losses[0]

    def test_resumes_where_it_stopped(self) -> None:
        spec = find_task("gatys")
        given_ = spec.settings(resolution="40x40", steps=6)

        def make() -> Any:
            return load(spec.make)(given_, Context("cpu", 0))

        whole, first, second = make(), make(), make()
        expected = [float(whole.step(i)["loss/total"]) for i in range(6)]
        for i in range(3):
            first.step(i)
        second.load_state_dict(first.state_dict())
        assert [float(second.step(i)["loss/total"]) for i in range(3, 6)] == expected[3:]


class TestFeedForward:
    @pytest.mark.parametrize("method", ["adain", "wct", "photo_wct"])
    def test_stylises_odd_sizes_and_says_how_long_it_took(self, decoders: dict[str, Any], method: str) -> None:
        evaluation, _ = run(method, decoders[method], resolution="59x45")
        assert evaluation.images["stylised"].shape == (45, 59, 3)
        assert evaluation.metrics["time/stylise"] > 0

    def test_decoders_of_another_method_are_refused(self, decoders: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="started from decoders of wct, not of adain"):
            run("adain", decoders["wct"], resolution="48x48")
        with pytest.raises(ValueError, match="give the experiment a `from:`"):
            run("wct", None, resolution="48x48")

    @pytest.mark.parametrize("method", ["adain", "wct", "photo_wct"])
    def test_training_goes_on_bit_for_bit(self, method: str) -> None:
        spec = find_task("decoder")
        given_ = spec.settings(
            method=method, steps=4, batch_size=2, levels=2, precision="fp32", recolour=method == "adain", **SMALL
        )

        def make() -> Any:
            return load(spec.make)(given_, Context("cpu", 3))

        whole, first, second = make(), make(), make()
        expected = [float(whole.step(i)["loss/total"]) for i in range(4)]
        for i in range(2):
            first.step(i)
        second.load_state_dict(first.state_dict())
        assert [float(second.step(i)["loss/total"]) for i in range(2, 4)] == expected[2:]
        assert len(set(expected)) == 4

    def test_a_short_training_rebuilds_its_images(self) -> None:
        _, losses = run("decoder", method="wct", levels=2, steps=30, batch_size=2, lr=2e-3, precision="fp32", **SMALL)
        assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:3])

    def test_the_encoders_filters_have_a_mean_activation_of_one(self) -> None:
        names = photos.SPLITS["train"]
        images = torch.from_numpy(photos.crops(2 * len(names), 64, seed=1, names=names)).permute(0, 3, 1, 2) / 255
        for features in encoder([1, 3])(images, ["relu1_1", "relu3_1"]).values():
            assert 0.4 < float(features.mean()) < 1.2

    def test_photo_wct_needs_the_encoders_channels(self) -> None:
        with pytest.raises(ValueError, match="slim: photo_wct restores"):
            find_task("decoder").settings(method="photo_wct", steps=1, images=1, slim=0.5)


class TestSuperResolution:
    def test_a_constant_stays_constant(self) -> None:
        image = torch.full((1, 3, 30, 33), 0.4)
        torch.testing.assert_close(bicubic(reduced(luminance(image), 3), 3), luminance(image))

    def test_psnr_is_the_logarithm_of_the_error(self) -> None:
        assert psnr(torch.zeros(4), torch.full((4,), 0.1)) == pytest.approx(20)

    def test_has_the_layers_of_the_paper_and_learns(self) -> None:
        assert [tuple(p.shape) for p in Srcnn().parameters() if p.dim() == 4] == [
            (64, 1, 9, 9),
            (32, 64, 1, 1),
            (1, 32, 5, 5),
        ]
        evaluation, losses = run("srcnn", steps=25, patches=4, lr=1e-3, **SMALL)
        assert np.mean(losses[-8:]) < np.mean(losses[:8])
        assert evaluation.metrics["quality/psnr"] > 15


class TestReferences:
    def test_unchanged_is_the_content(self) -> None:
        found, _ = run("reference_picture", method="unchanged", resolution="64x48")
        np.testing.assert_array_equal(found.images["stylised"], found.images["content"])
        assert found.metrics["loss/content"] == 0

    def test_a_colour_match_has_the_styles_mean_and_deviation(self) -> None:
        content, style = 0.4 + 0.2 * torch.rand(1, 3, 20, 30), 0.3 + 0.3 * torch.rand(1, 3, 10, 10)
        found = references.colour_match(content, style)
        torch.testing.assert_close(found.mean((2, 3)), style.mean((2, 3)), rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(found.std((2, 3)), style.std((2, 3)), rtol=0.05, atol=1e-2)

    def test_a_flat_content_is_given_the_styles_mean_and_no_nan(self) -> None:
        found = references.colour_match(torch.full((1, 3, 8, 8), 0.5), torch.rand(1, 3, 8, 8))
        assert bool(torch.isfinite(found).all()) and float(found.std((2, 3)).max()) < 1e-3
