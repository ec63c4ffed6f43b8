"""A trained model on one's own pictures: finds the model, hands it what was asked for, writes what it makes.

What a model does with a request is its family's affair (`TaskSpec.apply`); pictures are `pictures`'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench.apply import pictures
from retable.bench.errors import RetableError
from retable.bench.store import places, reading, status
from retable.bench.store.status import Status
from retable.bench.suite import loader, plan
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.plan import Trial
from retable.bench.task import Request, TaskSpec, find_task, load

if TYPE_CHECKING:
    import numpy as np


class ApplyError(RetableError, ValueError):
    """No model fits, or the request does not fit the model; the text says what to do."""


@dataclass(frozen=True)
class Found:
    """A trained model: its trial, its task, and the run that made it."""

    trial: Trial
    spec: TaskSpec
    status: Status


@dataclass(frozen=True)
class Made:
    """What was written, by which model, and which contents were reduced first, in words."""

    model: Found
    files: list[Path]
    reduced: list[str]


SIZE = 1024
"""Pixels: contents are reduced to this longer side, if nothing else is asked for."""


@dataclass(frozen=True)
class Wish:
    """What a person wants of a model.

    styles: image files or words of `retable.bench.data.styles`. masks: grey images in the contents' proportions, white
    where the style of the same place goes. weights: how much of each style, in any unit. size: longer side of the
    contents that are worked on, in pixels, 0: their own; None: `SIZE`, but their own where they are to be enlarged.
    film: the pictures of a folder are frames. The rest is as in `task.Request`. Raises ApplyError where these do not
    fit one another.
    """

    styles: Sequence[str] = ()
    weights: Sequence[float] = ()
    masks: Sequence[Path] = ()
    photo: bool = False
    upscale: int = 1
    intensity: float = 1.0
    size: int | None = None
    film: bool = False

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.styles):
            counts = f"{len(self.styles)} styles but {len(self.weights)} weights"
            raise ApplyError(f"{counts}: give one weight a style, or none")
        if self.weights and not (all(0 <= w < math.inf for w in self.weights) and sum(self.weights) > 0):
            shown = ", ".join(f"{w:g}" for w in self.weights)
            raise ApplyError(f"weights {shown}: give numbers of at least 0, one above it at least")
        if self.masks and len(self.masks) != len(self.styles):
            counts = f"{len(self.styles)} styles but {len(self.masks)} masks"
            raise ApplyError(f"{counts}: give one mask a style, or none")
        if self.upscale < 1:
            raise ApplyError(f"upscale {self.upscale}: give a whole number of at least 1")
        if not 0 <= self.intensity < math.inf:
            raise ApplyError(f"intensity {self.intensity}: give a number of at least 0")

    @property
    def longest(self) -> int:
        """Longer side of the contents that are worked on; 0: as they are."""
        return self.size if self.size is not None else 0 if self.upscale > 1 else SIZE


@dataclass(frozen=True)
class Which:
    """Which of a suite's models: those of a scale, of the experiments `only`, whose settings fit `where`."""

    scale: str = "quick"
    only: Sequence[str] = ()
    where: str = ""


def apply(
    file: SuiteFile | str | Path,
    contents: Sequence[Path],
    out: Path,
    wish: Wish = Wish(),
    which: Which = Which(),
    *,
    device: str = "cpu",
    tracking: str | None = None,
) -> Made:
    """Use a suite's trained model on pictures, a folder of them or a film.

    contents: image files, or one folder, or one film (GIF, or MP4 and the like with PyAV).
    out: a folder; or the file to write, where there is one picture; or a .gif, which makes a folder a film.
    which: one of the suite's models, if it trained several (see `model_of`).
    Raises ApplyError, DataError (naming the file), SuiteError or PlanError.
    """
    file = loader.load(file) if not isinstance(file, SuiteFile) else file
    place = places.locate(file.project, tracking)
    found = model_of(file, place, which)
    given = pictures.read(contents, wish.longest, wish.film or out.suffix.lower() == ".gif")
    target = pictures.target(given, out, [*_inputs(contents), *(Path(s) for s in wish.styles), *wish.masks])
    request = Request(
        contents=given.arrays,
        names=given.called,
        styles=[pictures.style(s, wish.longest) for s in wish.styles],
        weights=[w / sum(wish.weights) for w in wish.weights],
        masks=[pictures.mask(m, given) for m in wish.masks],
        film=given.film,
        photo=wish.photo,
        upscale=wish.upscale,
        intensity=wish.intensity,
    )
    files = pictures.write(_results(found, _model(found, place), request, device), target)
    return Made(found, files, given.reduced)


def model_of(file: SuiteFile, place: places.Stores, which: Which) -> Found:
    """The suite's finished trial that `apply` uses.

    Of those that `which` leaves: one that other trials of the suite start from before any other, then the
    one with the best value of its task's objective, then the newest. Raises ApplyError saying what to run where
    there is none.
    """
    planned = plan.trials(file.suite, which.scale)
    specs = {t.task: find_task(t.task, file.suite.packages) for t in planned}
    named = set(which.only)
    chosen = plan.select(planned, which.where, which.only, file.suite)
    able = [t for t in chosen if specs[t.task].apply and (not named or t.experiment in named)]
    if not able:
        several = sorted({t.experiment for t in planned if specs[t.task].apply})
        raise ApplyError(
            f"no model of these can be applied to pictures; experiments with such models: {', '.join(several)}"
            if several
            else f"suite '{file.suite.suite}' trains no model that can be applied to pictures"
        )
    followed = {t.start for t in planned}
    statuses = status.of(able, place, status.code_digests(file.suite))
    done = [t for t in able if statuses[t.id].state == "finished"]
    if not done:
        first = next((t for t in able if t.id in followed), able[0])
        raise ApplyError(f"nothing is trained yet: bench run {file.suite.suite} --only {first.experiment}")
    runs = {t.id: run for t in done if (run := statuses[t.id].run)}
    metrics = reading.metrics(place.tracking, [run.id for run in runs.values()])

    def merit(trial: Trial) -> tuple[bool, float, float]:
        run, spec = runs[trial.id], specs[trial.task]
        value = metrics[run.id].get(spec.objective, math.nan)
        good = value if spec.metrics[spec.objective].better == "higher" else -value
        return trial.id in followed, good if math.isfinite(good) else -math.inf, run.ended or 0.0

    best = max(done, key=merit)
    return Found(best, specs[best.task], statuses[best.id])


def _model(found: Found, place: places.Stores) -> Any:
    """What the trial left as its `Evaluation.model`."""
    from retable.bench.run import finals
    from retable.bench.store.digests import Damaged

    trial, run = found.trial, found.status.run
    assert run is not None
    try:
        return finals.state(place.tracking, run, place.folder / "fetched")
    except FileNotFoundError as error:
        raise ApplyError(f"trial {trial.id} left no model: {error}") from error
    except Damaged as error:
        which = f"{trial.suite} --scale {trial.scale}"
        raise ApplyError(
            f"trial {trial.id} has no model to use: {error}; "
            f"bench verify {which} --repair and bench run {which} make it again"
        ) from error


def _results(found: Found, model: Any, request: Request, device: str) -> Iterator[np.ndarray]:
    hook: Any = load(found.spec.apply)
    try:
        yield from hook(model, dict(found.trial.settings), request, device)
    except ValueError as error:
        raise ApplyError(str(error)) from error


def _inputs(contents: Sequence[Path]) -> list[Path]:
    """The files that are read."""
    from retable.bench.data import folder

    if len(contents) == 1 and contents[0].is_dir():
        return [contents[0] / name for name in folder.files(contents[0])]
    return list(contents)
