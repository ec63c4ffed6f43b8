"""Each family's `apply` on pictures of odd sizes, from a model that went through its file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from retable.bench.run.training import from_bytes, to_bytes
from retable.bench.task import Context, Request, find_task, load


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


class Model:
    """A model after a few steps, read back from its file."""

    def __init__(self, task: str, **settings: Any) -> None:
        self.spec = find_task(task)
        made = self.spec.settings(**settings)
        trained = load(self.spec.make)(made, Context("cpu", 0))
        for i in range(trained.steps):
            trained.step(i)
        self.settings = made.model_dump()
        self.state = from_bytes(to_bytes(trained.evaluate().model))

    def __call__(self, *contents: np.ndarray, **asked: Any) -> list[np.ndarray]:
        return list(load(self.spec.apply)(self.state, self.settings, Request(contents=contents, **asked), "cpu"))


@pytest.fixture(scope="module")
def solver() -> Model:
    return Model(
        "unrolled", iterations=2, width=4, size=48, images=8, held_out=1, pairs=2, preview_size=48, lr=5e-3, steps=8,
        precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def fast() -> Model:
    return Model(
        "fast_style", size=32, images=4, batch_size=2, width=2, style_size=32, style_weight=1e8, precision="fp32",
        held_out=1, preview_size=32,
    )  # fmt: skip


@pytest.fixture(scope="module")
def generator() -> Model:
    model = Model(
        "stytr2", size=32, patch=4, width=32, heads=2, ffn=16, encoder_layers=1, decoder_layers=1, pool=2, contents=4,
        pairs_per_content=2, batch_size=2, steps=1, separability="none", taps="original", measured_taps="original",
        validation_pairs=2,
    )  # fmt: skip
    weights = model.state["network"]
    last = [name for name in weights if name.startswith("pixels.") and name.endswith(".weight")][-1]
    weights[last] *= 30  # it has learned nothing yet; what it sees must show, around grey
    weights[last.replace("weight", "bias")].fill_(0.5)
    return model


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference, grey levels."""
    return float(np.abs(a.astype(float) - b).mean())


class TestSolver:
    def test_every_picture_keeps_its_size(self, solver: Model) -> None:
        contents = [picture(37, 51), picture(17, 90, 1)]
        for given in ({}, {"photo": True}, {"intensity": 0.5}):
            found = solver(*contents, styles=[picture(40, 30, 2)], **given)
            assert [f.shape for f in found] == [c.shape for c in contents] and found[0].dtype == np.uint8

    def test_no_intensity_is_the_content(self, solver: Model) -> None:
        content = picture(40, 50)
        assert np.array_equal(solver(content, styles=[picture(32, 32, 1)], intensity=0.0)[0], content)

    def test_weights_and_masks_choose_between_styles(self, solver: Model) -> None:
        content, one, two = picture(48, 64), picture(32, 32, 1), picture(32, 32, 2)
        alone = [solver(content, styles=[s])[0] for s in (one, two)]
        assert apart(*alone) > 0.5
        assert apart(solver(content, styles=[one, two], weights=[1.0, 0.0])[0], alone[0]) < 0.5
        everywhere, nowhere = np.full((48, 64), 255, np.uint8), np.zeros((48, 64), np.uint8)
        assert apart(solver(content, styles=[one, two], masks=[nowhere, everywhere])[0], alone[1]) < 0.5

    def test_what_no_mask_covers_stays_as_it_is(self, solver: Model) -> None:
        content, style = picture(48, 64), picture(32, 32, 1)
        half = np.zeros((48, 64), np.uint8)
        half[:, 32:] = 255
        for given in ({}, {"film": True}, {"photo": True}):
            found = solver(content, styles=[style], masks=[half], **given)[0]
            assert np.array_equal(found[:, :32], content[:, :32]) and apart(found[:, 32:], content[:, 32:]) > 0.5
        everywhere = solver(content, styles=[style])[0]
        assert apart(solver(content, styles=[style], masks=[half])[0][:, 32:], everywhere[:, 32:]) < 0.5

    def test_enlarging_can_be_photorealistic(self, solver: Model) -> None:
        content, style = picture(24, 32), picture(40, 40, 1)
        plain, photo = (solver(content, styles=[style], upscale=2, photo=p)[0] for p in (False, True))
        assert photo.shape == (48, 64, 3) and apart(plain, photo) > 0

    def test_what_is_too_small_is_called_by_its_name(self, solver: Model) -> None:
        small, style = picture(16, 40), picture(32, 32, 1)
        with pytest.raises(ValueError, match=r"b\.jpg \(400x160\) is 40x16 pixels"):
            solver(picture(40, 40), small, styles=[style], names=["a.jpg (40x40)", "b.jpg (400x160)"])

    def test_photorealism_keeps_flat_places_flat(self, solver: Model) -> None:
        content = np.full((48, 48, 3), 90, np.uint8)
        content[:, 24:] = 200
        plain, photo = (solver(content, styles=[picture(32, 32, 1)], photo=p)[0] for p in (False, True))
        assert photo[:, 8:20].std((0, 1)).mean() < 0.5 * plain[:, 8:20].std((0, 1)).mean()

    def test_a_film_stays_closer_to_its_last_frame_than_single_pictures(self, solver: Model) -> None:
        noise = np.random.default_rng(0)
        still = picture(48, 48)
        frames = [np.clip(still + noise.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(3)]
        style = picture(32, 32, 1)
        single = solver(*frames, styles=[style])
        film = solver(*frames, styles=[style], film=True)
        assert np.array_equal(single[0], film[0])
        assert apart(film[1], film[0]) < 0.9 * apart(single[1], single[0])

    @pytest.mark.parametrize(("height", "width", "factor"), [(20, 31, 3), (17, 18, 2)])
    def test_enlarging(self, solver: Model, height: int, width: int, factor: int) -> None:
        content = picture(height, width)
        found = solver(content, styles=[picture(40, 40, 1)], upscale=factor)[0]
        assert found.shape == (factor * height, factor * width, 3)
        again = found.reshape(height, factor, width, factor, 3).mean((1, 3))
        assert apart(again, content) < 4

    def test_what_does_not_fit_is_named(self, solver: Model) -> None:
        content, style = picture(40, 40), picture(32, 32, 1)
        half = np.zeros((40, 40), np.uint8)
        half[:20] = 255
        with pytest.raises(ValueError, match="no style: give at least one"):
            solver(content)
        with pytest.raises(ValueError, match="content is 40x16 pixels; both sides must be at least 17"):
            solver(picture(16, 40), styles=[style])
        with pytest.raises(ValueError, match="style is 40x16 pixels"):
            solver(content, styles=[picture(16, 40)])
        with pytest.raises(ValueError, match=r"must be at least 0 and sum to 1, not 0\.5, 0\.6"):
            solver(content, styles=[style, style], weights=[0.5, 0.6])
        with pytest.raises(ValueError, match=r"must be at least 0 and sum to 1, not nan, 1"):
            solver(content, styles=[style, style], weights=[math.nan, 1.0])
        with pytest.raises(ValueError, match="masks and weights do not go together"):
            solver(content, styles=[style], masks=[np.full_like(half, 255)], weights=[1.0])
        with pytest.raises(ValueError, match=r"50.0% of the pixels in more than one"):
            solver(content, styles=[style, style], masks=[half, np.full_like(half, 255)])
        with pytest.raises(ValueError, match="masks and upscale do not go together"):
            solver(content, styles=[style], masks=[np.full_like(half, 255)], upscale=2)


class TestOneStyleNetwork:
    def test_every_picture_keeps_its_size(self, fast: Model) -> None:
        contents = [picture(37, 51), picture(17, 90, 1), picture(32, 32)]
        found = fast(*contents)
        assert [f.shape for f in found] == [c.shape for c in contents] and found[0].dtype == np.uint8
        assert np.array_equal(fast(contents[2])[0], found[2])

    def test_is_the_network_that_was_trained(self, fast: Model) -> None:
        untrained = Model.__new__(Model)
        untrained.spec, untrained.settings = fast.spec, fast.settings
        from retable.models.fast_style import FastStyle
        from retable.models.fast_style.task import initial_network

        untrained.state = {"network": initial_network(FastStyle(**fast.settings), 0).state_dict()}
        assert apart(fast(picture(32, 32))[0], untrained(picture(32, 32))[0]) > 0

    def test_what_it_cannot_do_is_named(self, fast: Model) -> None:
        with pytest.raises(ValueError, match="knows one style, 'mosaic', that it was trained on"):
            fast(picture(32, 32), styles=[picture(32, 32)])
        with pytest.raises(ValueError, match="cannot do photo or upscale"):
            fast(picture(32, 32), photo=True, upscale=2)
        with pytest.raises(ValueError, match="40x16 pixels; both sides must be at least 17"):
            fast(picture(16, 40))


class TestGenerator:
    def test_every_picture_keeps_its_size(self, generator: Model) -> None:
        contents = [picture(37, 51), picture(16, 90, 1), picture(32, 32)]
        found = generator(*contents, styles=[picture(50, 20, 2)])
        assert [f.shape for f in found] == [c.shape for c in contents] and found[0].dtype == np.uint8

    def test_the_style_matters(self, generator: Model) -> None:
        one, two = (generator(picture(32, 32), styles=[picture(32, 32, s)])[0] for s in (1, 2))
        assert not np.array_equal(one, two)

    def test_what_it_cannot_do_is_named(self, generator: Model) -> None:
        style = picture(32, 32, 1)
        with pytest.raises(ValueError, match="give one style"):
            generator(picture(32, 32))
        with pytest.raises(ValueError, match="cannot do photo"):
            generator(picture(32, 32), styles=[style], photo=True)
        with pytest.raises(ValueError, match="40x7 pixels; both sides must be at least 8"):
            generator(picture(7, 40), styles=[style])
