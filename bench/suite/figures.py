"""The kinds of figures that a suite may declare, each with exactly the keys that it takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from retable.bench.suite.parts import Closed, View


class Panel(Closed):
    """A panel of an arrays figure: one array of each run's .npz file as lines."""

    title: str
    y: str = Field(description="array; two-dimensional: a line per row")
    x: str | None = Field(default=None, description="array along x; none: the position in y")
    x_label: str = ""
    log: bool = Field(default=False, description="logarithmic value axis; values at or below 0 are left out")
    limits: tuple[float, float] | None = Field(default=None, description="of the value axis; none: what fits")
    published: dict[str, list[tuple[float, float]]] = Field(
        default={}, description="value of `rows` ('' where there are none) -> the paper's points, [x, y] each"
    )


class Figure(View):
    """A figure, whatever its kind: a picture of metrics or artifacts. Never runs anything."""

    title: str
    labels: dict[str, str] = Field(default={}, description="value of a setting -> label as the paper prints it")
    note: str = ""

    @property
    def axes(self) -> dict[str, str]:
        """The keys of this kind that name a setting, each with the setting it names."""
        named = {key: getattr(self, key, None) for key in ("x", "y", "colour", "panels", "rows", "columns")}
        return {key: setting for key, setting in named.items() if setting is not None}


class Plot(Figure):
    """What figures over axes share: one metric, a panel per value of a setting."""

    metric: str = Field(description="what is drawn")
    metric_label: str = Field(default="", description="the metric in words, on its axis")
    panels: str | None = Field(default=None, description="setting with a panel per value")
    log: bool = Field(default=False, description="logarithmic value axis")
    wrap: int = Field(default=4, ge=1, description="panels in a line")


class Curves(Plot):
    """A metric over training steps."""

    kind: Literal["curves"]
    colour: str = Field(description="setting with a line per value")
    smooth: int = Field(default=1, ge=1, description="running mean over so many points, raw shown faintly")


class Heatmap(Plot):
    """A metric over two settings, as numbered cells."""

    kind: Literal["heatmap"]
    x: str = Field(description="setting along x")
    y: str = Field(description="setting along y")


class Lines(Plot):
    """A metric along a setting, as lines with intervals."""

    kind: Literal["lines"]
    x: str = Field(description="setting along x")
    x_label: str = Field(default="", description="that setting in words, on its axis")
    thresholds: dict[str, float] = Field(default={}, description="words -> where along a number x a dotted line stands")
    colour: str | None = Field(default=None, description="setting with a line per value")


class Bars(Plot):
    """A metric per value of a setting, a row each, as points with intervals."""

    kind: Literal["bars"]
    x: str = Field(description="setting with a row per value")
    colour: str | None = Field(default=None, description="setting with a point per value in each row")


class Importance(Figure):
    """What share of a metric's variance each setting of a search explains."""

    kind: Literal["importance"]
    metric: str = Field(description="what is explained")


class Images(Figure):
    """A picture that each run saved, side by side or as a grid."""

    kind: Literal["images"]
    artifact: str = Field(description="artifact path in each run, as images/stylised.png")
    rows: str | None = Field(default=None, description="setting with a row per value")
    columns: str | None = Field(default=None, description="setting with a column per value")
    also: dict[str, str] = Field(default={}, description="label -> artifact of any one run, shown first")
    wrap: int = Field(default=4, ge=1, description="pictures in a line")


class Arrays(Figure):
    """Arrays that each run saved, as lines: a row per run, a panel per array."""

    kind: Literal["arrays"]
    artifact: str = Field(description="artifact path in each run, as arrays/x.npz")
    arrays: list[Panel] = Field(description="the panels of a row")
    rows: str | None = Field(default=None, description="setting with a row per value")
    by: str | None = Field(default=None, description="array that numbers the lines of two-dimensional ones")


AnyFigure = Annotated[Curves | Heatmap | Images | Lines | Bars | Arrays | Importance, Field(discriminator="kind")]
