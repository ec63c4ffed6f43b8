"""Claims as a suite states them: the forms of a check, and what must hold before one can be tried."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from retable.bench.suite.parts import Closed, Names, View, Where


class Below(Closed):
    """Every one of `these` has a lower (or higher, where `higher`) metric than every one of `than`."""

    form: Literal["below"]
    metric: str
    these: Where
    than: Where
    higher: bool = False
    margin: float = Field(default=0.0, ge=0, description="relative: 0.02 asks for 2 % of the better side at least")

    @model_validator(mode="after")
    def _reachable(self) -> Below:
        if self.higher and self.margin >= 1:
            raise ValueError("a margin of a higher metric is below 1: nothing is above another by all of itself")
        return self


class PublishedRatio(Closed):
    """The published cells that a ratio is computed from: mean of `of` over the check's statistic of `to`."""

    of: Names = Field(description="'table/row/column' of published numbers")
    to: Names = Field(description="'table/row/column' of published numbers")


class Ratio(Closed):
    """mean(of) / mean-or-best(to), against bounds; `published` is the paper's own ratio by the same statistic."""

    form: Literal["ratio"]
    metric: str
    of: Where
    to: Where
    to_statistic: Literal["mean", "lowest", "highest", "each"] = Field(
        default="mean", description="'each': the ratio to every one must be in the bounds"
    )
    per: list[str] = Field(default=[], description="settings of which each value is a ratio of its own; all must hold")
    at_least: float | None = Field(default=None, gt=0)
    at_most: float | None = Field(default=None, gt=0)
    published: float | PublishedRatio | None = Field(
        default=None, description="the ratio that the text states, or the cells of a published table it follows from"
    )

    @model_validator(mode="after")
    def _bounded(self) -> Ratio:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self


class Spread(Closed):
    """The spread (highest / lowest over `over`) of each of `these` is larger than that of each of `than`."""

    form: Literal["spread"]
    metric: str
    these: Where
    than: Where
    over: list[str] = Field(min_length=1)


class Monotone(Closed):
    """The metric falls (or rises) along a setting, the other settings held."""

    form: Literal["monotone"]
    metric: str
    over: str
    direction: Literal["falls", "rises"]


class Extreme(Closed):
    """`these` have the lowest (or highest) metric among all trials of the view."""

    form: Literal["extreme"]
    metric: str
    these: Where
    end: Literal["lowest", "highest"]


class Agrees(Closed):
    """Ours and the paper's values put the values of a setting in the same order, by more than chance would."""

    form: Literal["agrees"]
    metric: str
    over: str = Field(description="the setting whose values are ranked; its values are rows of the published table")
    published: str = Field(description="'table/column' of the published numbers")
    tied_within: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="published values closer than this (relative to the larger) count as tied: the paper's own noise",
    )


class Same(Closed):
    """The metric of each of `these` equals that of each of `than` within a margin that is stated beforehand."""

    form: Literal["same"]
    metric: str
    these: Where
    than: Where
    within: float | None = Field(default=None, gt=0, lt=1, description="relative: 0.02 is 2 %")
    within_absolute: float | None = Field(default=None, gt=0, description="in the metric's own unit")

    @model_validator(mode="after")
    def _one(self) -> Same:
        if (self.within is None) == (self.within_absolute is None):
            raise ValueError("give exactly one of within, within_absolute")
        return self


class Value(Closed):
    """A published number lies inside the prediction interval of one more run of ours, and that is narrow enough.

    Only for scales at which absolute values may be compared; name the others in the claim's `not_at`.
    """

    form: Literal["value"]
    metric: str
    of: Where
    published: str = Field(description="'table/row/column' of a published number")
    within: float = Field(gt=0, lt=1, description="how wide the prediction interval may be to a side, relative")
    factor: float = Field(default=1.0, gt=0, description="our value is multiplied by it first (a change of unit)")


Check = Annotated[Below | Ratio | Spread | Monotone | Extreme | Agrees | Same | Value, Field(discriminator="form")]


class Replicates(Closed):
    """What an interval counts in place of seeds: several measurements of one trial, on inputs of their own.

    Where every side has three seeds at least, the outer level stays the seed and the measurements are averaged
    within each.
    """

    unit: str = Field(min_length=3, description="what one of them is, in the plural: 'held-out pairs'")
    metrics: str = Field(
        min_length=2, description="pattern of metrics, each the check's metric on one input: 'held_out/total/*'"
    )


class Precondition(View):
    """What must hold before a claim can be tried: its check holds in every seed of every pair."""

    reads: str = Field(
        min_length=10, description="what must hold, in words: 'the network is below the unchanged content'"
    )
    check: Check


class Claim(View):
    """A sentence of the paper as a check over results."""

    quote: str = Field(min_length=10, description="the paper's own words")
    reads: str = Field(default="", description="in one sentence what the check tests, shown beside the quote")
    kind: Literal["learned", "identity", "toy"] = Field(
        default="learned",
        description="what it is about: learned models, what holds by construction (a count, an identity), or a toy",
    )
    check: Check
    needs: Names = Field(default=[], description="preconditions without which the sentence cannot be tried")
    replicates: Replicates | None = None
    note: str = Field(default="", description="how the sentence was read")
