"""Confusion matrices and scores: a published matrix, per-image traps, absent classes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retable.models.fanet.metrics import confusion, named, scores

PUBLISHED = [
    [514916758, 4774690, 30287003, 1572223, 9213015],
    [369515, 1667216, 240054, 356458, 958268],
    [14572482, 565655, 44293765, 9235, 778823],
    [109, 13115, 46995, 3061, 2145],
    [4170583, 5686732, 2128714, 67821, 20636765],
]
"""DeepLabv3+ on the test split of ZeroWaste-f's first release, from the log that its authors publish."""


def test_a_published_matrix_gives_its_published_scores() -> None:
    found = scores(PUBLISHED)
    assert found.miou == pytest.approx(39.0586, abs=1e-4)
    assert found.pixel_accuracy == pytest.approx(88.4664, abs=1e-4)
    assert found.class_accuracy == pytest.approx(46.5099, abs=1e-4)
    assert found.weighted_iou == pytest.approx(80.2177, abs=1e-4)
    assert found.iou == pytest.approx((88.7977, 11.3945, 47.6673, 0.14779, 47.2855), abs=1e-4)


def test_rows_are_predicted_and_columns_true() -> None:
    matrix = confusion(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 1, 255]]), 2)
    assert matrix.tolist() == [[0, 0], [1, 1]]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2, 3, 4, 255])), min_size=2, max_size=80))
def test_the_matrix_of_a_set_is_the_sum_over_its_frames(pixels: list[tuple[int, int]]) -> None:
    prediction, truth = (torch.tensor(side) for side in zip(*pixels, strict=True))
    half = len(pixels) // 2
    whole = confusion(prediction, truth, 5)
    assert torch.equal(
        whole, confusion(prediction[:half], truth[:half], 5) + confusion(prediction[half:], truth[half:], 5)
    )
    assert int(whole.sum()) == sum(t != 255 for _, t in pixels)


@given(st.lists(st.integers(0, 50), min_size=9, max_size=9).filter(any))
def test_scores_are_those_counted_by_hand(cells: list[int]) -> None:
    matrix = [cells[i : i + 3] for i in (0, 3, 6)]
    expected = []
    for k in range(3):
        union = sum(matrix[k]) + sum(row[k] for row in matrix) - matrix[k][k]
        expected.append(100 * matrix[k][k] / union if union else math.nan)
    found = scores(matrix)
    assert found.iou == pytest.approx(expected, nan_ok=True)
    known = [v for v in expected if not math.isnan(v)]
    assert found.miou == pytest.approx(sum(known) / len(known))


def test_an_absent_class_is_left_out_but_a_wrongly_predicted_one_counts() -> None:
    absent = scores([[8, 0, 0], [2, 10, 0], [0, 0, 0]])
    assert math.isnan(absent.iou[2])
    assert absent.miou == pytest.approx((100 * 8 / 10 + 100 * 10 / 12) / 2)
    assert "iou/c" not in named(absent, "abc")
    predicted = scores([[8, 0, 0], [1, 10, 0], [1, 0, 0]])
    assert predicted.iou[2] == 0
    assert predicted.miou < absent.miou


def test_it_is_not_the_mean_over_frames() -> None:
    truth = [torch.tensor([0, 0, 0, 0]), torch.tensor([0, 1, 1, 1])]
    prediction = [torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 0])]
    per_frame = [scores(confusion(p, t, 2)).miou for p, t in zip(prediction, truth, strict=True)]
    whole = scores(sum((confusion(p, t, 2) for p, t in zip(prediction, truth, strict=True)), torch.zeros(2, 2)))
    assert abs(whole.miou - sum(per_frame) / 2) > 1


def test_what_cannot_be_scored_is_said() -> None:
    with pytest.raises(ValueError, match="empty"):
        scores(confusion(torch.tensor([0]), torch.tensor([255]), 2))
    with pytest.raises(ValueError, match="truth holds an index"):
        confusion(torch.tensor([0]), torch.tensor([7]), 5)
    with pytest.raises(ValueError, match="differ in shape"):
        confusion(torch.zeros(2, 2), torch.zeros(2, 3), 5)
