"""Equations 6 to 13, each against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retable.models.stytr2 import Norm, Training, schedules
from retable.models.stytr2 import losses as L
from retable.models.stytr2.separability import Hinges, Seen, hinges

SMALL = 1e-5  # the variance's epsilon
ROOT = math.sqrt(2 + SMALL) - math.sqrt(SMALL)  # deviation of (0, 2) minus that of a flat channel


def features(*rows: tuple[float, ...]) -> dict[str, Tensor]:
    """One layer, one channel per image, positions in a row: [B, 1, 1, n]."""
    return {"layer": torch.tensor(rows)[:, None, None, :]}


def separability(o: dict[str, Tensor], r: dict[str, Tensor], form: str = "content", **options: object) -> Hinges:
    given = Training.model_validate({"steps": 1, "separability": form, "margin": 2.0, **options})
    return hinges(form, Seen(o, r, L.stats(o, list(o)), L.stats(r, list(r))), given)


def test_mean_and_deviation_are_over_positions() -> None:
    mean, deviation = L.stats(features((0, 2), (3, 3)), ["layer"])["layer"]
    assert mean.tolist() == [[1], [3]]
    torch.testing.assert_close(deviation, torch.tensor([[math.sqrt(2 + SMALL)], [math.sqrt(SMALL)]]))


def test_the_gradient_of_the_statistics_is_autograds() -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 2, 3)

    def ours(x: Tensor) -> Tensor:
        mean, deviation = L.stats({"l": x}, ["l"])["l"]
        return (weights[0] * mean + weights[1] * deviation).sum()

    def plain(x: Tensor) -> Tensor:
        deviation = (x.flatten(2).var(2) + SMALL).sqrt()
        return (weights[0] * x.mean((2, 3)) + weights[1] * deviation).sum()

    (a,), (b,) = torch.autograd.grad(ours(x), x), torch.autograd.grad(plain(x), x)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_gradients_are_laid_out_as_the_loss_network_computes(norm: Norm) -> None:
    """Channels-last in, channels-last back: else its backward pass spends a tenth of the step on other strides."""
    o, r = (torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_() for _ in range(2))
    found, target, layers = {"l": o}, {"l": r.detach()}, ["l"]
    terms = [
        L.content_loss(found, target, {}, {}, layers, raw=True, norm=norm),
        L.content_loss(found, target, L.stats(found, layers), L.stats(target, layers), layers, norm=norm),
        L.style_loss(L.stats(found, layers), L.stats(target, layers), layers, norm=norm),
        L.identity_features(found, target, layers, norm=norm),
        separability(found, {"l": r}, form="full", margin=9.0).loss,
    ]
    for term in terms:
        (gradient,) = torch.autograd.grad(term, o)
        assert gradient.abs().max() > 0
        assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"raw": True}, 7.5),  # (1 + 4 + 9 + 16) / 4
        ({"raw": True, "reduction": "norm"}, 30),
        ({"raw": True, "norm": "l1"}, 2.5),
        ({"raw": True, "norm": "l1", "reduction": "norm"}, 10),
    ],
)
def test_equation_6_of_raw_features(options: dict[str, object], expected: float) -> None:
    o, t = features((1, 2, 3, 4)), features((0, 0, 0, 0))
    loss = L.content_loss(o, t, {}, {}, ["layer"], **options)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected)


def test_equation_6_of_normalised_features() -> None:
    # (0, 2) becomes (-1, 1) / sqrt 2, (6, 2) becomes (1, -1) / sqrt 2: each differs by sqrt 2.
    o, t = features((0, 2)), features((6, 2))
    loss = L.content_loss(o, t, L.stats(o, ["layer"]), L.stats(t, ["layer"]), ["layer"])
    assert loss.item() == pytest.approx(2, abs=1e-4)


@settings(deadline=None)
@given(scale=st.floats(0.5, 20), shift=st.floats(-5, 5))
def test_normalised_content_ignores_contrast_and_brightness_of_a_channel(scale: float, shift: float) -> None:
    f = {"layer": torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))}
    g = {"layer": scale * f["layer"] + shift}
    loss = L.content_loss(f, g, L.stats(f, ["layer"]), L.stats(g, ["layer"]), ["layer"])
    assert loss.item() < 1e-4


def test_uncorrelated_features_have_a_normalised_content_loss_of_two() -> None:
    a, b = (torch.randn(1, 64, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(2))
    o, t = {"layer": a}, {"layer": b}
    loss = L.content_loss(o, t, L.stats(o, ["layer"]), L.stats(t, ["layer"]), ["layer"])
    assert loss.item() == pytest.approx(2, rel=0.01)  # so that the two layers of table 1 start at 4


def test_equation_7() -> None:
    o, s = L.stats(features((0, 2)), ["layer"]), L.stats(features((3, 3)), ["layer"])
    assert L.style_loss(o, s, ["layer"]).item() == pytest.approx(4 + ROOT**2)
    assert L.style_loss(o, s, ["layer"], norm="l1").item() == pytest.approx(2 + ROOT)


def test_equation_8_adds_both_identities() -> None:
    images = torch.stack([torch.full((3, 2, 2), 0.5), torch.full((3, 2, 2), 0.1)])
    targets = torch.zeros(2, 3, 2, 2)
    assert L.identity_pixels(images, targets).item() == pytest.approx(0.25 + 0.01)
    assert L.identity_pixels(images, targets, reduction="norm").item() == pytest.approx(12 * 0.26)
    assert L.identity_pixels(images, targets, norm="l1").item() == pytest.approx(0.6)


def test_equation_9_adds_identities_and_layers() -> None:
    found = {"a": torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1), "b": torch.full((2, 1, 1, 2), 3.0)}
    zero = {name: torch.zeros_like(f) for name, f in found.items()}
    assert L.identity_features(found, zero, ["a", "b"]).item() == pytest.approx((1 + 4) + (9 + 9))
    assert L.identity_features(found, zero, ["a"]).item() == pytest.approx(5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 4 - 1.25),  # squared norm of (1, 0.5)
        ({"hinge": "norm"}, 4 - math.sqrt(1.25)),  # the released code
        ({"hinge": "unsquared"}, 2 - math.sqrt(1.25)),  # its L1 form
        ({"margin": 1.0}, 0),
    ],
)
def test_equation_10(options: dict[str, object], expected: float) -> None:
    found = separability(features((1, 0.5)), features((0, 0)), **options)
    assert found.loss.item() == pytest.approx(expected)
    assert found.content_active["layer"].item() == float(expected > 0)
    assert found.content_distance["layer"].item() == pytest.approx(1.25)
    assert not found.stats_active


def test_the_released_l1_form_leaves_equation_11_as_it_is() -> None:
    o, r = features((1, 0.5)), features((0, 0))
    found = [separability(o, r, form="full", hinge=hinge).loss.item() for hinge in ("squared", "norm", "unsquared")]
    assert found[0] == found[1] == found[2]


def test_equation_10_is_a_mean_over_pairs_and_a_sum_over_layers() -> None:
    o = {"a": torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1), "b": torch.zeros(2, 1, 1, 1)}
    r = {name: torch.zeros_like(f) for name, f in o.items()}
    found = separability(o, r)
    assert found.loss.item() == pytest.approx((4 - 1 + 0) / 2 + 4)
    assert found.content_active["a"].item() == 0.5
    assert found.content_active["b"].item() == 1


def test_equation_11_with_the_released_and_the_printed_sign() -> None:
    o, r = features((0, 2)), features((1, 1))  # features differ by 1 and 1, means by 0, deviations by ROOT
    plus = separability(o, r, form="full")
    minus = separability(o, r, form="full", sigma_sign="minus")
    assert plus.loss.item() == pytest.approx((4 - 2) + (4 - ROOT**2), rel=1e-5)
    assert minus.loss.item() == pytest.approx((4 - 2) + (4 + ROOT**2), rel=1e-5)
    assert plus.stats_distance["layer"].item() == pytest.approx(ROOT**2, rel=1e-5)


def test_an_inactive_hinge_has_no_gradient() -> None:
    o = {"layer": torch.full((1, 1, 2, 2), 9.0, requires_grad=True)}
    found = separability(o, {"layer": torch.zeros(1, 1, 2, 2)}, form="full")
    (gradient,) = torch.autograd.grad(found.loss, o["layer"])
    assert found.loss.item() == 0
    assert gradient.abs().max() == 0


def test_a_larger_distance_never_raises_the_separability_loss() -> None:
    r = features((0, 0))
    found = [separability(features((x, 0)), r, form="full").loss.item() for x in (0, 0.5, 1, 1.5, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 8
    assert found[-1] == 0


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1), (5_000, 0.25), (9_999, 0.1 * (1 + 3e-4 * 9_999)), (10_000, 1), (10_020, 0.5), (11_000, 1 / 51)],
)
def test_equation_13(step: int, expected: float) -> None:
    assert schedules.equation13(step) == pytest.approx(expected)


def test_equation_13_jumps_where_the_originals_schedule_is_continuous() -> None:
    assert schedules.equation13(10_000) / schedules.equation13(9_999) > 2.4
    assert schedules.continuous(10_000) / schedules.continuous(9_999) == pytest.approx(1, abs=1e-4)
    # The original: 2e-4 / (1 + 1e-5 (i - 1e4)), of 5e-4.
    assert 5e-4 * schedules.continuous(110_000) == pytest.approx(1e-4)


@settings(deadline=None)
@given(losses=st.lists(st.floats(0.01, 10), min_size=1, max_size=60), patience=st.integers(0, 5))
def test_the_plateau_is_torchs(losses: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, eps=0)
    ours = schedules.Plateau(patience, 0.5)
    for i, loss in enumerate(losses):
        theirs.step(loss)
        ours.see(torch.tensor(loss, dtype=torch.double))
        if i == len(losses) // 2:
            again = schedules.Plateau(patience, 0.5)
            again.load_state_dict(ours.state_dict())
            ours = again
    assert ours.multiplier == optimizer.param_groups[0]["lr"]


def test_the_cosine_rises_in_a_line_and_falls_to_nothing() -> None:
    at = [schedules.cosine(step, steps=50, warmup_steps=10) for step in range(50)]
    assert at[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert at[9] == at[10] == 1
    assert at[30] == pytest.approx(0.5)
    assert 0 < at[49] < 0.002
    assert at[10:] == sorted(at[10:], reverse=True)
