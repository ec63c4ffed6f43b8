"""What a worker tells of itself and its trials, one JSON line each. `write` and `read` are the whole of the format."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import get_args


@dataclass(frozen=True)
class Ready:
    """The worker has found its stores and waits for trials."""

    pid: int


@dataclass(frozen=True)
class Claimed:
    """It runs a trial now: the Optuna trial `number` of `study`."""

    trial: str
    name: str
    study: str
    number: int


@dataclass(frozen=True)
class Tick:
    """A sign of life, about twice a second."""

    trial: str
    step: int
    steps: int


@dataclass(frozen=True)
class Done:
    """A trial has ended for good. outcome: `finished`, `diverged` (reason says where), `collapsed` (reason says how),
    `pruned`, `finished elsewhere`.

    seconds: of this attempt. value: of the metric that counts, where there is one to show.
    """

    trial: str
    outcome: str
    seconds: float = 0.0
    value: float | None = None
    metric: str = "value"
    reason: str = ""


@dataclass(frozen=True)
class Failed:
    """Its task raised, or it was given up."""

    trial: str
    reason: str


@dataclass(frozen=True)
class Stopped:
    """It was asked to stop and has left a checkpoint."""

    trial: str


@dataclass(frozen=True)
class Refused:
    """Its result came too late: the trial had been given to another worker."""

    trial: str


@dataclass(frozen=True)
class Broken:
    """The worker ends, for a reason that is not its trial's: a store that stayed away, a full disk."""

    reason: str


@dataclass(frozen=True)
class Note:
    """Something a person should read."""

    text: str


@dataclass(frozen=True)
class Unfit:
    """Trials wait that this worker may not run: they were planned with other code or packages."""

    experiment: str
    reason: str


@dataclass(frozen=True)
class Bye:
    """The worker ends, as it was asked to."""


Event = Ready | Claimed | Tick | Done | Failed | Stopped | Refused | Broken | Note | Unfit | Bye

OfTrial = Claimed | Tick | Done | Failed | Stopped | Refused
"""The events that name a trial: what a `Progress` is shown."""

_KINDS: dict[str, type[Event]] = {kind.__name__.lower(): kind for kind in get_args(Event)}


def write(event: Event) -> str:
    """An event as a line."""
    return json.dumps({"event": type(event).__name__.lower(), **asdict(event)}) + "\n"


def read(line: str) -> Event | None:
    """The event of a line; None for a line that a kill has cut short, or whose kind or fields we don't know."""
    try:
        told = json.loads(line)
        return _KINDS[told.pop("event")](**told)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
