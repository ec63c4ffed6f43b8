"""The solver's tasks from end to end at tiny sizes: training, controls, films, textures, timing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from retable.bench.task import Context, Evaluation, find_task, load
from retable.models.transfer.style import everywhere
from retable.models.unrolled.training import _factor

SMALL: dict[str, Any] = {
    "iterations": 2,
    "width": 4,
    "size": 48,
    "images": 12,
    "held_out": 3,
    "pairs": 2,
    "preview_size": 48,
    "lr": 2e-3,
}


def make(name: str, start: Any = None, seed: int = 0, **given: Any) -> Any:
    spec = find_task(name)
    return load(spec.make)(spec.settings(**given), Context("cpu", seed, start))


def evaluated(name: str, start: Any = None, **given: Any) -> Evaluation:
    found: Evaluation = make(name, start, **given).evaluate()
    assert set(found.metrics) <= set(find_task(name).metrics)
    assert all(np.isfinite(v) for v in found.metrics.values())
    return found


@pytest.fixture(scope="module")
def trained() -> Any:
    """The final state of a short training, whose updates are large enough to see."""
    task = make("unrolled", steps=12, precision="fp32", **SMALL)
    for i in range(12):
        task.step(i)
    return task.evaluate().model


class TestTraining:
    def test_lowers_its_loss(self) -> None:
        task = make("unrolled", steps=15, precision="fp32", clip=1.0, **{**SMALL, "pairs": 1})
        before = task.evaluate().metrics["loss/held_out"]
        for i in range(15):
            task.step(i)
        assert task.evaluate().metrics["loss/held_out"] < before

    @pytest.mark.parametrize(
        "drawn",
        [
            {"styles": "patterns", "recolour": True, "schedule": "linear"},
            {"styles": "few", "style_size": 64, "mirrored": True, "schedule": "cosine", "forward_lr": 0.1},
        ],
    )
    def test_goes_on_bit_for_bit(self, drawn: dict[str, Any]) -> None:
        given = {**SMALL, "steps": 4, "precision": "fp32", **drawn}
        whole, first = make("unrolled", **given), make("unrolled", **given)
        expected = [float(whole.step(i)["loss/total"]) for i in range(4)]
        for i in range(2):
            first.step(i)
        second = make("unrolled", **given)
        second.load_state_dict(first.state_dict())
        assert [float(second.step(i)["loss/total"]) for i in range(2, 4)] == expected[2:]
        found, again = (t.evaluate().metrics["loss/explosion"] for t in (whole, second))
        assert found == again == pytest.approx(max(expected) / np.exp(np.log(expected).mean()))
        assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), second.net.parameters(), strict=True))

    def test_seeds_differ_and_are_measured_on_the_same_pairs(self) -> None:
        one, two = (make("unrolled", seed=s, steps=1, precision="fp32", **SMALL) for s in (0, 1))
        assert float(one.step(0)["loss/total"]) != float(two.step(0)["loss/total"])
        unchanged = [t.evaluate().metrics["loss/unchanged"] for t in (one, two)]
        assert unchanged[0] == unchanged[1]

    def test_small_updates_start_at_the_content(self) -> None:
        one, small = (make("unrolled", steps=1, precision="fp32", gain=g, **SMALL) for g in (1.0, 1e-3))
        content, style = one._draw()
        target = one.objective.targets(content, style)
        distance = [
            float((t.net(content, everywhere(target.style))[0] - content).abs().mean().detach()) for t in (one, small)
        ]
        assert distance[1] == pytest.approx(1e-3 * distance[0], rel=1e-3)

    def test_pictures_that_left_the_range_come_back(self) -> None:
        task = make("unrolled", steps=1, precision="fp32", range_weight=10.0, **SMALL)
        for update in task.net.updates:  # every pixel far below zero, where L_TV has no gradient
            update.up[0][0].bias.data.fill_(2.0)
        before = task.net.updates[0].up[0][0].bias.detach().clone()
        task.step(0)
        assert (task.net.updates[0].up[0][0].bias < before).all()

    def test_evaluation_describes_the_pairs(self) -> None:
        found = evaluated("unrolled", steps=1, **SMALL)
        pairs = found.arrays["pairs"]["found"]
        assert found.metrics["loss/held_out"] == pytest.approx(pairs.mean())
        assert found.metrics["loss/deviation"] == pytest.approx(pairs.std(ddof=1))

    def test_groups_of_held_out_pairs_are_the_mean_taken_apart(self) -> None:
        found = evaluated("unrolled", steps=1, **{**SMALL, "held_out": 30})
        groups = [v for k, v in found.metrics.items() if k.startswith("held_out/")]
        assert len(groups) == 24 and groups[0] == found.arrays["pairs"]["found"][:2].mean()
        weights = [2] * 6 + [1] * 18
        assert np.average(groups, weights=weights) == pytest.approx(found.metrics["loss/held_out"])

    def test_forward_maps_learn_at_their_own_rate(self) -> None:
        task = make("unrolled", steps=1, precision="fp32", forward_lr=0.1, **SMALL)
        before = {name: p.detach().clone() for name, p in task.net.named_parameters()}
        task.step(0)
        largest = {name: float((p.detach() - before[name]).abs().max()) for name, p in task.net.named_parameters()}
        # Adam's first step is the learning rate itself, wherever there is a gradient.
        assert largest["updates.0.down.0.weight"] == pytest.approx(0.1 * SMALL["lr"], rel=1e-2)
        assert largest["updates.0.up.0.0.weight"] == pytest.approx(SMALL["lr"], rel=1e-2)

    def test_cosine_rises_and_ends_near_zero(self) -> None:
        factors = [_factor("cosine", i, 100) for i in range(100)]
        assert factors[0] == pytest.approx(1 / 20) and max(factors) == factors[19] > 0.9 and factors[-1] < 1e-3

    def test_channels_that_no_content_fires_are_counted(self) -> None:
        task = make("unrolled", steps=1, precision="fp32", **SMALL)
        task.net.updates[1].down[2].bias.data.fill_(-1e3)
        found = task.evaluate().metrics
        assert found["health/dead_worst"] == 100 and 0 < found["health/dead_channels"] < 100

    def test_pictures_without_anything_on_them_are_a_collapse(self) -> None:
        task = make("unrolled", steps=1, precision="fp32", **SMALL)
        assert task.evaluate().collapsed == ""
        task.net.updates[1].up[0][0].bias.data.fill_(1e3)
        assert task.evaluate().collapsed == "every output is a constant picture"

    def test_few_styles_are_drawn_as_often_as_they_are_said_to_be(self) -> None:
        task = make("unrolled", steps=1, precision="fp32", styles="few", style_size=64, **{**SMALL, "pairs": 256})
        _, style = task._draw()
        drawn = [int((style.alpha_B == a).sum()) for a in task.few.alpha_B]
        assert sum(drawn) == 256 and all(n > 2 * max(drawn[2:]) for n in drawn[:2]) and min(drawn) > 0

    def test_styles_that_are_drawn_at_random_have_no_size_of_their_own(self) -> None:
        with pytest.raises(ValueError, match="style_size"):
            find_task("unrolled").settings(steps=1, images=1, styles="textures", style_size=128)

    def test_endless_crops_need_a_number(self) -> None:
        with pytest.raises(ValueError, match="images: give a number above 0"):
            find_task("unrolled").settings(steps=1)


class TestStylising:
    """What a short training must reach to deserve its name: less than the content left alone, or recoloured."""

    def test_a_short_training_stylises_a_picture_that_was_not_seen(self) -> None:
        given = {**SMALL, "iterations": 1, "width": 8, "images": 40, "lr": 3e-3, "gain": 0.1, "clip": 1.0}
        task = make("unrolled", steps=60, styles="few", forward_lr=0.1, noise=0.0, precision="fp32", **given)
        for i in range(60):
            task.step(i)
        model = task.evaluate().model
        pair = {"content": "chelsea", "style": "swirls", "resolution": "64x64"}
        ours = evaluated("unrolled_picture", model, **pair).metrics
        for method in ("unchanged", "colour_match"):
            assert ours["loss/total"] < evaluated("reference_picture", method=method, **pair).metrics["loss/total"]


class TestPairs:
    def test_the_mean_is_that_of_the_pairs(self) -> None:
        found = evaluated("stylised_pairs", method="unchanged", count=4, size=48).metrics
        pairs = [found[f"pair/loss{i:02d}"] for i in range(1, 5)]
        assert found["loss/total"] == pytest.approx(np.mean(pairs)) and len(found) == 5

    def test_optimising_the_pixels_is_below_doing_nothing_on_every_pair(self) -> None:
        given = {"count": 2, "size": 48, "steps": 8}
        left, best = (evaluated("stylised_pairs", method=m, **given).metrics for m in ("unchanged", "gatys"))
        assert all(best[k] < left[k] for k in left)

    def test_ours_needs_a_solver(self, trained: Any) -> None:
        with pytest.raises(ValueError, match="this needs a trained unrolled"):
            make("stylised_pairs", method="unrolled", count=2, size=48)
        found = evaluated("stylised_pairs", trained, method="unrolled", count=2, size=48).metrics
        assert found != evaluated("stylised_pairs", method="unchanged", count=2, size=48).metrics


class TestRestructuring:
    def test_intensity_zero_is_the_content_and_more_is_farther(self, trained: Any) -> None:
        results = [evaluated("unrolled_picture", trained, resolution="56x48", intensity=i) for i in (0.0, 0.5, 1.0)]
        distance = [float(np.abs(r.images["stylised"].astype(float) - r.images["content"]).mean()) for r in results]
        assert distance[0] == 0 < distance[1] < distance[2]

    def test_photorealism_keeps_it_affine(self, trained: Any) -> None:
        plain = evaluated("unrolled_picture", trained, resolution="56x48")
        photo = evaluated("unrolled_picture", trained, resolution="56x48", photo=True)
        assert photo.metrics["quality/affine"] < 0.5 * plain.metrics["quality/affine"]

    @pytest.mark.parametrize("layout", ["mixed", "halves", "disc"])
    def test_a_second_style_changes_the_picture(self, trained: Any, layout: str) -> None:
        one = evaluated("unrolled_picture", trained, resolution="56x48")
        two = evaluated("unrolled_picture", trained, resolution="56x48", second="grass", layout=layout)
        same = evaluated("unrolled_picture", trained, resolution="56x48", second="mosaic", layout=layout)
        assert not np.array_equal(one.images["stylised"], two.images["stylised"])
        difference = np.abs(one.images["stylised"].astype(int) - same.images["stylised"].astype(int))
        assert np.percentile(difference, 99) <= 1

    def test_words_for_scales(self) -> None:
        settings = find_task("unrolled_picture").settings
        assert settings(scales="245").scales == "245"
        for wrong in ("54", "6", "", "11"):
            with pytest.raises(ValueError, match="scales"):
                settings(scales=wrong)

    def test_needs_a_trained_solver(self) -> None:
        with pytest.raises(ValueError, match="this needs a trained solver"):
            make("unrolled_picture", resolution="48x48")


class TestFilms:
    def test_an_unchanged_film_has_its_own_flicker_and_is_far_from_the_style(self, trained: Any) -> None:
        given = {"frames": 4, "resolution": "64x48", "style": "swirls"}
        found = evaluated("stylised_video", method="unchanged", **given).metrics
        assert found["video/flicker"] == found["video/flicker_input"]
        assert found["video/error"] == found["video/error_input"]
        assert evaluated("stylised_video", trained, **given).metrics["video/style"] != found["video/style"]
        with pytest.raises(ValueError, match="unchanged has no photorealistic form"):
            find_task("stylised_video").settings(method="unchanged", photo=True)

    def test_the_temporal_operator_lowers_error_and_flicker(self, trained: Any) -> None:
        given = {"frames": 4, "resolution": "64x48"}
        never = evaluated("stylised_video", trained, **given).metrics
        inside = evaluated("stylised_video", trained, temporal="inside", **given).metrics
        after = evaluated("stylised_video", trained, temporal="after", **given).metrics
        assert max(inside["video/error"], after["video/error"]) < never["video/error"]
        assert inside["video/flicker"] < never["video/flicker"]
        assert never["video/error_input"] == inside["video/error_input"]

    def test_estimated_flow_serves_too(self, trained: Any) -> None:
        given = {"frames": 3, "resolution": "64x48"}
        never = evaluated("stylised_video", trained, **given).metrics
        found = evaluated("stylised_video", trained, temporal="inside", flow="ilk", **given).metrics
        assert found["video/error"] < never["video/error"]

    def test_operators_compose(self, trained: Any) -> None:
        given = {"frames": 3, "resolution": "64x48", "photo": True}
        photo = evaluated("stylised_video", trained, **given).metrics
        both = evaluated("stylised_video", trained, temporal="inside", **given).metrics
        assert both["video/error"] < photo["video/error"]

    def test_what_does_not_go_together_is_refused(self) -> None:
        settings = find_task("stylised_video").settings
        with pytest.raises(ValueError, match="wct has no updates to put an operator between"):
            settings(method="wct", temporal="inside")
        with pytest.raises(ValueError, match="adain has no photorealistic form"):
            settings(method="adain", photo=True)


class TestTextures:
    def test_the_operator_agrees_with_what_was_given(self, trained: Any) -> None:
        plain = evaluated("texture", method="bicubic", size=96).metrics
        held = evaluated("texture", trained, method="unrolled", size=96, scales="none").metrics
        assert held["quality/consistency"] > plain["quality/consistency"] + 10
        assert held["quality/psnr"] > plain["quality/psnr"]

    def test_the_truth_itself_is_beyond_measure_and_has_all_its_detail(self) -> None:
        from retable.models.unrolled.textures import gram_snr

        task = make("texture", method="bicubic", size=48)
        assert 0 < task.evaluate().metrics["quality/detail"] < 100
        task.enlarged = lambda: task.truth_11HW
        assert task.evaluate().metrics["quality/detail"] == pytest.approx(100)
        snr = gram_snr(task.vgg, task.truth_11HW, task.truth_11HW)
        assert all(v > 60 for v in snr.values())


class TestTiming:
    @pytest.mark.parametrize(
        ("method", "laplacian"), [("unrolled", False), ("unrolled", True), ("adain", False), ("photo_wct", True)]
    )
    def test_times_are_measured(self, method: str, laplacian: bool) -> None:
        given = {"resolution": "48x40", "repeats": 1, "warm_up": False, "width": 4, "levels": 2}
        found = evaluated("stylising_time", method=method, laplacian=laplacian, **given)
        assert found.metrics["time/stylise"] == found.metrics["repeat/time01"] > 0

    @pytest.mark.parametrize("resolution", ["48", "0x48", "16x48", "48x40x3", "-48x48"])
    def test_resolutions_that_mean_nothing_are_refused(self, resolution: str) -> None:
        with pytest.raises(ValueError, match="resolution"):
            find_task("stylising_time").settings(resolution=resolution)
