"""What a search says of its settings: how much of the metric's variance each explains, and where the good values lie.

Optuna's fANOVA (Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance",
2014) fits a random forest to the finished trials and splits its variance between the settings. Pruned trials have
no final value and stay out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib.figure import Figure as Drawing

from retable.bench.report import style
from retable.bench.suite.schema import Range
from retable.bench.suite.values import text

Space = Mapping[str, Range | list[Any]]

FEWEST = 4
"""Finished trials below which a forest has nothing to split."""


def shares(space: Space, settings: Sequence[Mapping[str, Any]], values: Sequence[float]) -> dict[str, float]:
    """Setting -> its share of the variance, the largest first; they sum to 1 (to 0 if nothing varies).

    settings, values: per finished trial the searched settings and the metric. The same trials give the same shares.
    Raises ValueError for fewer than `FEWEST` trials.
    """
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} finished trials are too few for importances, which need {FEWEST}")
    import optuna  # a second to import: only a report with such a figure needs it

    from retable.bench.queue import storage

    storage.settle()
    made = {name: _distribution(optuna, one) for name, one in space.items()}
    study = optuna.create_study()
    for chosen, value in zip(settings, values, strict=True):
        params = {name: _plain(chosen[name], one) for name, one in space.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=made, value=value))
    if len(set(values)) == 1:
        return dict.fromkeys(space, 0.0)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(found.get(name, 0.0)) for name in sorted(space, key=lambda n: -found.get(n, 0.0))}


def _distribution(optuna: Any, space: Range | list[Any]) -> Any:
    d = optuna.distributions
    if isinstance(space, list):
        return d.CategoricalDistribution(space)
    if space.integer:
        return d.IntDistribution(int(space.low), int(space.high), log=space.log)
    return d.FloatDistribution(space.low, space.high, log=space.log)


def _plain(value: Any, space: Range | list[Any]) -> Any:
    """The value as the distribution has it: a float that was logged as "3" is 3.0, a choice is one of the list's."""
    if isinstance(space, list):
        return next(choice for choice in space if text(choice) == text(value))
    return int(value) if space.integer else float(value)


def draw(
    space: Space,
    settings: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    axis: str,
    direction: Literal["minimize", "maximize"],
) -> Drawing:
    """A row per setting: its share of the variance as a bar, and beside it every trial's value against the metric.

    axis: the metric's name. direction: of the search; its best trial is circled. Call inside `style.look()`.
    """
    found = shares(space, settings, values)
    pen = style.pens(1)[0]
    columns = min(len(space), 3)
    down = -(-len(space) // columns)
    figure = style.canvas(style.WIDTH, 0.7 + 0.3 * len(space) + 2.0 * down)
    parts: Any = figure.subfigures(2, 1, height_ratios=[0.5 + 0.3 * len(space), 2.0 * down])
    above, below = parts

    frame = above.subplots()
    names = list(found)
    frame.barh(range(len(names)), [found[n] for n in names], color=pen.colour, height=0.6)
    for i, name in enumerate(names):
        frame.annotate(f" {100 * found[name]:.0f} %", (found[name], i), va="center", fontsize=8, color=style.INK)
    frame.set_yticks(range(len(names)), names)
    frame.set_ylim(len(names) - 0.5, -0.5)
    frame.set_xlim(0, max(1e-9, max(found.values())) * 1.12)
    frame.set_xlabel("share of the variance")
    frame.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    frame.grid(visible=False, axis="y")

    best = (max if direction == "maximize" else min)(range(len(values)), key=lambda i: values[i])
    frames = below.subplots(down, columns, squeeze=False, sharey=True)
    for spare in list(frames.flat)[len(names) :]:
        spare.set_visible(False)
    for one, name in zip(frames.flat, names, strict=False):
        x = [_place(chosen[name], space[name]) for chosen in settings]
        one.plot(x, values, pen.marker, color=pen.colour, alpha=0.6, markersize=5, linestyle="")
        one.plot(x[best], values[best], "o", markersize=10, markerfacecolor="none", markeredgecolor=style.BAD)
        known = space[name]
        if isinstance(known, list):
            one.set_xticks(range(len(known)), [text(choice) for choice in known])
            one.set_xlim(-0.5, len(known) - 0.5)
        elif known.log:
            one.set_xscale("log")
            one.set_xlim(known.low, known.high)
            one.set_xticks([known.low, math.sqrt(known.low * known.high), known.high])
            one.xaxis.set_major_formatter(lambda v, _: f"{v:.3g}")
            one.minorticks_off()
        else:
            one.set_xlim(known.low, known.high)
        one.set_xlabel(name)
    for row in frames:
        row[0].set_ylabel(axis)
    return figure


def _place(value: Any, space: Range | list[Any]) -> float:
    return float(space.index(_plain(value, space))) if isinstance(space, list) else float(value)
