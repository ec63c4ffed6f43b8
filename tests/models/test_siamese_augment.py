"""Batched augmentation against torchvision's per-image transforms: pixels for given numbers, and distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest

from retable.bench.data import patches
from retable.bench.data.vision import torchvision
from retable.models.siamese import augment

torchvision()
from torchvision.transforms import v2  # noqa: E402, TID251
from torchvision.transforms.v2 import functional as tv  # noqa: E402, TID251

SIZE = 32


def photos(count: int, size: int = SIZE) -> torch.Tensor:
    images = torch.tensor(patches.load("test", size)[0]).permute(0, 3, 1, 2).contiguous()
    return images[torch.arange(count) * 7 % len(images)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_image(image: torch.Tensor, d: augment.Draws, i: int) -> torch.Tensor:
    """One image through torchvision's functions, with the numbers that were drawn for it."""
    box = [int(getattr(d, name)[i]) for name in ("top", "left", "height", "width")]
    x = tv.resized_crop(image, *box, size=list(image.shape[-2:]), antialias=True)
    if d.flip[i]:
        x = tv.horizontal_flip(x)
    x = tv.adjust_brightness(x, float(d.brightness[i]))
    x = tv.adjust_contrast(x, float(d.contrast[i]))
    x = tv.adjust_saturation(x, float(d.saturation[i]))
    x = tv.adjust_hue(x, float(d.hue[i]))
    return tv.rgb_to_grayscale(x, 3) if d.grey[i] else x


@pytest.mark.parametrize("size", [16, 32])
def test_pixels_are_torchvisions_image_by_image(size: int) -> None:
    images = photos(96, size).float() / 255
    d = augment.draw(len(images), size, generator=generator())
    views = augment.apply(images, d)
    expected = torch.stack([per_image(image, d, i) for i, image in enumerate(images)])
    assert views.shape == images.shape
    assert (views - expected).abs().max() < 2e-5


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=15)
def test_hue_turns_as_torchvision_turns_it(seed: int) -> None:
    images = torch.rand(4, 3, 5, 5, generator=generator(seed))
    images[0] = images[0, :1]  # grey has no hue
    images[1, :, :2] = images[1, :, :2].round()  # pure colours, black and white
    turns = torch.rand(4, generator=generator(seed + 1)) - 0.5
    found = augment.turn_hue(images, turns)
    expected = torch.stack([tv.adjust_hue(x, float(t)) for x, t in zip(images, turns, strict=True)])
    assert (found - expected).abs().max() < 5e-6


def test_every_image_has_its_own_draw() -> None:
    """Many copies of one image give as many views; a transform that is called on a batch would give one."""
    copies = photos(1).expand(64, -1, -1, -1)
    first, second = augment.two_views(copies, generator=generator())
    views = torch.cat([first, second])
    assert len(torch.unique(views.flatten(1), dim=0)) == len(views)
    means = views.mean(dim=(1, 2, 3))
    assert abs(np.corrcoef(means[:64], means[64:])[0, 1]) < 0.4, "the two views of an image are independent"


def test_boxes_are_distributed_as_random_resized_crop_draws_them() -> None:
    count = 4000
    d = augment.draw(count, SIZE, generator=generator(3))
    torch.manual_seed(3)
    blank = torch.empty(3, SIZE, SIZE)
    transform = v2.RandomResizedCrop(SIZE)
    drawn = [transform.make_params([blank]) for _ in range(count)]
    for ours, theirs in ((d.top, "top"), (d.left, "left"), (d.height, "height"), (d.width, "width")):
        assert ks_2samp(ours.numpy(), np.array([p[theirs] for p in drawn])).pvalue > 0.01, theirs
    area, ratio = (d.height * d.width).numpy(), (d.width / d.height).log().numpy()
    their_area = np.array([p["height"] * p["width"] for p in drawn])
    their_ratio = np.log([p["width"] / p["height"] for p in drawn])
    assert ks_2samp(area, their_area).pvalue > 0.01
    assert ks_2samp(ratio, their_ratio).pvalue > 0.01
    assert (d.top + d.height <= SIZE).all() and (d.left + d.width <= SIZE).all()
    assert (d.top >= 0).all() and (d.left >= 0).all() and (d.height >= 1).all()


def test_colour_factors_are_distributed_as_stated() -> None:
    d = augment.draw(8000, SIZE, generator=generator(4))
    jittered = d.brightness != 1
    assert jittered.float().mean() == pytest.approx(augment.P_JITTER, abs=0.02)
    for factor in (d.brightness, d.contrast, d.saturation):
        assert ((factor != 1) == jittered).all(), "one coin for all colour steps"
        assert kstest(factor[jittered].numpy(), "uniform", (0.6, 0.8)).pvalue > 0.01
    assert kstest(d.hue[jittered].numpy(), "uniform", (-0.1, 0.2)).pvalue > 0.01
    assert d.grey.float().mean() == pytest.approx(augment.P_GREY, abs=0.02)
    assert d.flip.float().mean() == pytest.approx(augment.P_FLIP, abs=0.02)
    columns = torch.stack([d.top, d.brightness, d.contrast, d.saturation, d.hue, d.grey.float(), d.flip.float()])
    chosen = torch.corrcoef(columns[:, jittered])
    assert (chosen - torch.eye(len(chosen))).abs().max() < 0.06, "numbers are drawn independently of each other"


def test_views_are_distributed_as_torchvisions_pipeline_makes_them() -> None:
    """Brightness, contrast and colourfulness of the views of one photograph, one image at a time or all at once."""
    count = 600
    image = photos(2)[1]
    pipeline = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomResizedCrop(SIZE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
        ]
    )
    torch.manual_seed(5)
    theirs = torch.stack([pipeline(image) for _ in range(count)])
    ours = torch.cat(augment.two_views(image.expand(count // 2, -1, -1, -1), generator=generator(5)))
    statistics = {
        "brightness": lambda v: augment.luma(v).mean(dim=(1, 2, 3)),
        "contrast": lambda v: augment.luma(v).std(dim=(1, 2, 3)),
        "colour": lambda v: (v.amax(1) - v.amin(1)).mean(dim=(1, 2)),
    }
    for name, statistic in statistics.items():
        assert ks_2samp(statistic(ours).numpy(), statistic(theirs).numpy()).pvalue > 0.01, name


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_views_stay_in_range_and_repeat_with_the_seed(interpolation: str) -> None:
    first = augment.two_views(photos(40), interpolation=interpolation, generator=generator(1))  # type: ignore[arg-type]
    again = augment.two_views(photos(40), interpolation=interpolation, generator=generator(1))  # type: ignore[arg-type]
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert a.min() >= 0 and a.max() <= 1


def test_nothing_to_do_changes_nothing() -> None:
    images = photos(3).float() / 255
    n = torch.ones(3)
    whole = augment.Draws(0 * n, 0 * n, SIZE * n, SIZE * n, n < 0, n, n, n, 0 * n, n < 0)
    assert (augment.apply(images, whole) - images).abs().max() < 1e-5
