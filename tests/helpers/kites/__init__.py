"""A made-up paper on kites: tasks to plan and to check, never to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from retable.bench.task import Metric, Settings, TaskSpec


class Fly(Settings):
    """Settings of every kind; `pictures` names a data set, or none."""

    line: float = 1.0
    tail: Literal["short", "long"] = "short"
    size: int = 3
    weights: Sequence[float] = ()
    pictures: str = ""
    strong: bool = False

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("must be odd")
        return size

    @model_validator(mode="after")
    def _holds(self) -> Fly:
        if self.line > 100 and not self.strong:
            raise ValueError("so long a line must be strong")
        return self


class Land(Settings):
    """One setting without a default, one that `fly` has too."""

    height: float = Field(gt=0)
    line: float = 1.0


LOSS = {"loss/total": Metric("what is lost"), "loss/final": Metric("what is lost in the end")}


def data(settings: Fly) -> list[str]:
    """What a task reads: the pictures, where there are any."""
    return [settings.pictures] if settings.pictures else []


TASKS = [
    TaskSpec("fly", Fly, "kites.sky:make", LOSS, "loss/final", data),
    TaskSpec("glide", Fly, "kites.sky:make", LOSS, "loss/final", data),
    TaskSpec("land", Land, "kites.sky:make", {"drop/final": Metric("the last drop")}, "drop/final", lambda s: []),
    TaskSpec("drag", Land, "kites.sky:make", {"drag": Metric("a metric without a group")}, "drag", lambda s: []),
]

HEAD = """\
suite: kites
about: Made up.
paper: {title: Kites, authors: [A. Nonymous], year: 2020}
packages: kites
"""
"""What every suite says; its experiments, and the scales unless they are `quick` alone, are a test's own."""


def suite(body: str) -> str:
    """The text of a suite whose other keys stand in `body`, from line 5 on."""
    scales = "" if body.startswith("scales:") else "scales: {quick: {about: a minute}}\n"
    return HEAD + scales + body
