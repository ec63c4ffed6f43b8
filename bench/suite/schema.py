"""The suite format as pydantic models: what one YAML file may say.

`loader` reads a file into these, `checks` says what no type can say (names that refer to each
other); `suite.schema.json` is generated from them for editors (`python -m retable.bench.suite.schema`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from retable.bench import files
from retable.bench.suite.claims import Agrees as Agrees
from retable.bench.suite.claims import Below as Below
from retable.bench.suite.claims import Check as Check
from retable.bench.suite.claims import Claim as Claim
from retable.bench.suite.claims import Extreme as Extreme
from retable.bench.suite.claims import Monotone as Monotone
from retable.bench.suite.claims import Precondition as Precondition
from retable.bench.suite.claims import PublishedRatio as PublishedRatio
from retable.bench.suite.claims import Ratio as Ratio
from retable.bench.suite.claims import Replicates as Replicates
from retable.bench.suite.claims import Same as Same
from retable.bench.suite.claims import Spread as Spread
from retable.bench.suite.claims import Value as Value
from retable.bench.suite.figures import AnyFigure as AnyFigure
from retable.bench.suite.figures import Arrays as Arrays
from retable.bench.suite.figures import Bars as Bars
from retable.bench.suite.figures import Curves as Curves
from retable.bench.suite.figures import Figure as Figure
from retable.bench.suite.figures import Heatmap as Heatmap
from retable.bench.suite.figures import Images as Images
from retable.bench.suite.figures import Importance as Importance
from retable.bench.suite.figures import Lines as Lines
from retable.bench.suite.figures import Panel as Panel
from retable.bench.suite.figures import Plot as Plot
from retable.bench.suite.parts import Closed as Closed
from retable.bench.suite.parts import Name as Name
from retable.bench.suite.parts import Names as Names
from retable.bench.suite.parts import Scalar as Scalar
from retable.bench.suite.parts import Select as Select
from retable.bench.suite.parts import View as View
from retable.bench.suite.parts import Where as Where


class Constant(Closed):
    """A constant with its origin. A list `value` is a grid; to pass a list as one value, wrap it: [[a, b]]."""

    value: Any = Field(description="the value; a list of values is a grid over them")
    source: str = Field(
        min_length=3,
        description="where it comes from: a section, equation or table of the paper, its code, or 'assumed: reason'",
    )


Constants = dict[str, Constant]


class NotRebuilt(Closed):
    not_rebuilt: str = Field(min_length=3, description="why no view stands for it")


class Paper(Closed):
    title: str
    authors: list[str] = Field(min_length=1)
    year: int = Field(ge=1900, le=2100)
    venue: str = ""
    doi: str = Field(default="", pattern=r"^(10\.\d{4,9}/\S+)?$")
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    contents: dict[str, Names | NotRebuilt] = Field(
        default={},
        description="each table and figure of the paper -> the views that rebuild it, or {not_rebuilt: why}",
    )


class Scale(Closed):
    """A named size of the same suite; its settings are merged over every experiment's."""

    about: str = Field(description="what it needs and how long it takes")
    settings: Constants = Field(default={})


class Range(Closed):
    """A numeric dimension of a search space."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError("a log range needs low > 0")
        return self


class Named(Closed):
    """An Optuna sampler or pruner: its class name and arguments."""

    name: str
    options: dict[str, Any] = Field(default={})


class Search(Closed):
    """A search space, explored by an Optuna sampler; never feeds a paper's table cell."""

    space: dict[str, Range | list[Scalar]] = Field(min_length=1, description="setting -> range, or list of choices")
    trials: int = Field(ge=1)
    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"
    sampler: Named = Named(name="TPESampler")
    pruner: Named = Named(name="NopPruner")
    report_every: int = Field(default=0, ge=0, description="steps between reports to the pruner; 0: never")
    source: str = Field(min_length=3)


def _some(seeds: list[int] | int) -> list[int] | int:
    if (seeds < 1) if isinstance(seeds, int) else (not seeds or min(seeds) < 0):
        raise ValueError("give a count of at least 1 or a list of seeds from 0 on; `not_at` leaves a scale out")
    return seeds


Seeds = Annotated[list[int] | int, AfterValidator(_some)]


class From(Closed):
    """Start from another experiment's final state: the trial with equal values of `match` (and seed)."""

    experiment: str
    match: list[str] = Field(default=[])
    where: Where = Field(default={})


class Experiment(Closed):
    """A named set of trials: settings (lists are grids), optional cells or a search, seeds."""

    task: str
    about: str
    settings: Constants = Field(default={})
    cells: dict[str, Constants] | None = Field(
        default=None, description="explicit cells by name, each merged over settings; the name becomes setting 'cell'"
    )
    search: Search | None = None
    seeds: Seeds = Field(default=1, description="a count (0, 1, ...) or the seeds themselves")
    at: dict[str, Constants] = Field(default={}, description="scale -> settings for this experiment alone")
    seeds_at: dict[str, Seeds] = Field(default={}, description="scale -> seeds")
    not_at: dict[str, str] = Field(default={}, description="scale -> why it is not run there, with its cost")
    seconds_at: dict[str, float] = Field(
        default={}, description="scale -> measured seconds of one trial, for the first estimate of `bench plan`"
    )
    from_: From | None = Field(default=None, alias="from")
    reference: str = Field(
        default="",
        description="what its trials do, where they are a cheap yardstick and no method of the paper ('the content "
        "unchanged'); tables and figures label them so",
    )


class Column(Closed):
    """A column of a table: a setting's value, or a metric (mean over seeds)."""

    label: str = ""
    setting: str | None = None
    metric: str | None = None
    where: Where = Field(default={}, description="further filter for this column alone")
    from_: Names | None = Field(default=None, alias="from")
    relative_to: Literal["lowest", "highest"] | None = Field(
        default=None, description="show the metric as a multiple of the column's best"
    )
    published_from: str | None = Field(default=None, description="column whose published values this one derives from")
    format: str = Field(default=".4g", description="Python format of our value")
    unit: str = ""
    published_unit: str = Field(default="", description="unit of the published values where it differs from ours")
    factor: float = Field(default=1.0, description="our value is multiplied by it before it is shown")

    @model_validator(mode="after")
    def _one(self) -> Column:
        if (self.setting is None) == (self.metric is None):
            raise ValueError("give exactly one of setting, metric")
        return self


class Row(Closed):
    """An explicit row: the trials it stands for."""

    label: str = ""
    where: Where = Field(default={})
    from_: Names | None = Field(default=None, alias="from")


class NotPublished(Closed):
    not_published: str = Field(min_length=3, description="why the paper has no value for the cell")


Published = float | str | NotPublished


class Table(View):
    """A table in the paper's own layout: the published value beside ours."""

    title: str
    rows: str | dict[str, Row] = Field(description="a setting (a row per value), or explicit rows")
    labels: dict[str, str] = Field(default={}, description="row value -> label as the paper prints it")
    columns: dict[str, Column] = Field(min_length=1)
    published: dict[str, dict[str, Published]] = Field(
        default={}, description="row -> column -> value as printed, or {not_published: reason}"
    )
    absolute: Names = Field(
        default=[],
        description="scales at which our values may be compared with the published ones as they are: there each cell "
        "says whether the published value lies in the prediction interval of ours",
    )
    note: str = ""


class PublishedDifference(Closed):
    """A difference of two published cells that the paper's text states."""

    of: str = Field(description="'table/row/column' of a published number")
    minus: str = Field(description="'table/row/column' of the published number that is taken off")
    states: float = Field(description="the difference that the text states")
    quote: str = Field(min_length=3, description="the paper's own words")


class Consistency(Closed):
    """Published values that must agree: cells that state one quantity, or a difference that the text states."""

    about: str = Field(description="the quantity, in words")
    same: list[str] = Field(default=[], description="'table/row/column' of two or more cells")
    difference: PublishedDifference | None = None

    @model_validator(mode="after")
    def _one(self) -> Consistency:
        if (len(self.same) > 1) == (self.difference is not None):
            raise ValueError("give either 'same', with two cells at least, or 'difference'")
        return self


class Suite(Closed):
    """One paper's experiments, and the tables, figures and claims that view them."""

    suite: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    about: str = Field(description="two sentences for a person who has not read the paper")
    paper: Paper
    packages: Names = Field(
        default=["retable.models"], description="where its tasks are found; user code comes in here"
    )
    settings: Constants = Field(default={}, description="shared by all experiments whose task knows them")
    scales: dict[Name, Scale] = Field(min_length=1)
    experiments: dict[Name, Experiment] = Field(min_length=1)
    tables: dict[Name, Table] = Field(default={})
    figures: dict[Name, AnyFigure] = Field(default={})
    preconditions: dict[Name, Precondition] = Field(
        default={}, description="what must hold of the models before a claim that needs it is tried"
    )
    claims: dict[Name, Claim] = Field(default={})
    consistency: dict[str, Consistency] = Field(
        default={},
        description="published values that must agree; `retable.bench.judging.consistency` compares them",
    )
    notes: list[str] = Field(default=[], description="what a reader of the report must know; printed in it")


SCHEMA_FILE = Path(__file__).with_name("suite.schema.json")


def json_schema() -> str:
    """The JSON Schema of the suite format, as text."""
    schema = Suite.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    files.write(SCHEMA_FILE, json_schema())
