"""What every part of the suite format is made of: closed models, names, and what a view says of itself."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Scalar = bool | int | float | str | None
Where = dict[str, Any]
"""Setting name -> value, or list of values of which one must match. `seed` counts as a setting."""


def _named(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", word):
        raise ValueError(f"'{word}' is no name: letters, digits, '.', '_' and '-', the first a letter or a digit")
    return word


Name = Annotated[str, AfterValidator(_named)]
"""What becomes part of a path, an address or a heading's anchor."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Names = Annotated[list[str], BeforeValidator(_as_list)]
"""One name or a list of names."""


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Select(Closed):
    """Keep, per remaining setting, the cell with the best mean over seeds."""

    lowest: str | None = None
    highest: str | None = None
    over: list[str] = Field(min_length=1, description="settings that are selected away")

    @model_validator(mode="after")
    def _one(self) -> Select:
        if (self.lowest is None) == (self.highest is None):
            raise ValueError("give exactly one of lowest, highest")
        return self


class View(Closed):
    """What tables, figures and claims share: which trials they look at."""

    from_: Names = Field(alias="from", description="experiment, or experiments whose trials are pooled")
    where: Where = Field(default={})
    select: Select | None = None
    source: str = Field(default="", description="where it stands in the paper; empty: not in the paper")
    not_at: dict[str, str] = Field(default={}, description="scale -> why it can't be shown or judged there")
