"""Importances of searched settings: known answers, the same each time, and a picture of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retable.bench.report import importance, style
from retable.bench.suite.loader import SuiteError, load
from retable.bench.suite.schema import Range

SPACE: importance.Space = {
    "rate": Range(low=1e-4, high=1e-1, log=True),
    "depth": Range(low=1, high=4, integer=True),
    "kind": ["plain", "fancy"],
}


def trials(n: int = 40) -> tuple[list[dict[str, Any]], list[float]]:
    """The metric depends on the rate above all, on the kind a little, on the depth not at all."""
    draw = np.random.default_rng(0)
    settings = [
        {"rate": 10 ** draw.uniform(-4, -1), "depth": int(draw.integers(1, 5)), "kind": ["plain", "fancy"][i % 2]}
        for i in range(n)
    ]
    values = [3 * math.log10(s["rate"]) ** 2 + (s["kind"] == "fancy") for s in settings]
    return settings, values


def test_the_setting_that_matters_comes_first() -> None:
    found = importance.shares(SPACE, *trials())
    assert next(iter(found)) == "rate"
    assert found["rate"] > 0.8
    assert found["depth"] < 0.1
    assert sum(found.values()) == pytest.approx(1)
    assert importance.shares(SPACE, *trials()) == found


def test_settings_may_come_back_from_the_store_as_other_types() -> None:
    settings, values = trials(8)
    read = [{**s, "depth": float(s["depth"])} for s in settings]
    read[0]["rate"] = 0.001
    assert set(importance.shares(SPACE, read, values)) == set(SPACE)


def test_nothing_is_important_where_nothing_varies() -> None:
    settings, values = trials(8)
    assert set(importance.shares(SPACE, settings, [1.0] * len(values)).values()) == {0.0}


def test_too_few_trials_are_refused() -> None:
    settings, values = trials(3)
    with pytest.raises(ValueError, match="3 finished trials are too few"):
        importance.shares(SPACE, settings, values)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_picture_is_small_and_the_same_each_time(direction: Any) -> None:
    with style.look():
        first, second = (style.encode(importance.draw(SPACE, *trials(), "loss", direction)) for _ in range(2))
    assert first == second
    assert len(first) <= style.LIMIT
    assert (style.kind(first), style.width(first)) == ("svg", int(style.WIDTH * style.DPI / 2))


def test_an_importance_figure_of_a_grid_is_refused_when_the_suite_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Path(__file__).parents[1] / "toy"
    monkeypatch.syspath_prepend(str(project))
    toy = (project / "suites" / "toy.yaml").read_text()
    figure = "  wrong: {title: t, kind: importance, from: grid, metric: loss/final}\nclaims:"
    (tmp_path / "suites").mkdir()
    path = tmp_path / "suites" / "toy.yaml"
    path.write_text(toy.replace("claims:", figure, 1))
    with pytest.raises(SuiteError, match="an importance figure is of one search; 'grid' is not it"):
        load(path)
