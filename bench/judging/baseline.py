"""A baseline's file: golden losses by platform, and how far platforms were measured to lie apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from retable.bench import files
from retable.bench.judging import platforms
from retable.bench.judging.measured import GateError, Measured
from retable.bench.judging.platforms import Measurement
from retable.bench.numbers import counted
from retable.bench.suite.plan import Trial

SHOWN = 10
"""So many names are told of each kind of change; a baseline is in git, which tells the rest."""


@dataclass(frozen=True)
class Golden:
    """One trial's losses. varied, seed: by which `--where` finds it when it is planned no more."""

    name: str
    experiment: str
    varied: Mapping[str, Any]
    seed: int
    values: Mapping[str, float]
    outcome: str = "finished"


@dataclass(frozen=True)
class Section:
    """The losses of one platform: trial id -> golden."""

    platform: Mapping[str, str]
    trials: Mapping[str, Golden]


@dataclass(frozen=True)
class Baseline:
    """about: whose losses these are (suite and scale, or the MLflow experiment)."""

    about: Mapping[str, str]
    sections: Sequence[Section] = ()
    measurements: Sequence[Measurement] = ()

    @property
    def ids(self) -> set[str]:
        return {trial for section in self.sections for trial in section.trials}

    def find(self, trial: str, platform: Mapping[str, str]) -> tuple[Golden, Mapping[str, str]] | None:
        """A trial's losses of the platform that is nearest to `platform`, and which that is."""
        there = [s for s in self.sections if trial in s.trials]
        near = min(there, key=lambda s: platforms.distance(s.platform, platform), default=None)
        return None if near is None else (near.trials[trial], near.platform)

    def gone(self, planned: Mapping[str, Trial]) -> list[Trial]:
        """The trials that are planned no more, with the settings that their experiment has today, so that what selects
        among trials selects among them too."""
        today = {trial.experiment: trial for trial in planned.values()}
        found: dict[str, Trial] = {}
        for section in self.sections:
            for trial, golden in section.trials.items():
                if trial not in planned:
                    like = today.get(golden.experiment)
                    task, settings = (like.task, like.settings) if like else ("", {})
                    found[trial] = Trial(trial, "", "", golden.experiment, task, settings, golden.varied, golden.seed)
        return list(found.values())

    def name(self, trial: str) -> str:
        return next(s.trials[trial].name for s in self.sections if trial in s.trials)


@dataclass(frozen=True)
class Changes:
    """What an update did, by names of trials. refused: name -> why."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def held(self) -> list[str]:
        """The trials whose losses stand in the baseline as they were measured."""
        return [*self.added, *self.changed, *self.same]

    def text(self) -> str:
        """One line of counts, then each trial that was added, changed, dropped or refused."""
        counts = {
            "added": self.added,
            "changed": self.changed,
            "dropped": self.dropped,
            "as they were": self.same,
            "kept, not measured": self.unmeasured,
            "refused": self.refused,
        }
        lines = [", ".join(f"{len(names)} {word}" for word, names in counts.items() if names) or "nothing to do"]
        for word in ("added", "changed", "dropped"):
            names = list(counts[word])
            lines += [f"{word}: {name}" for name in names[:SHOWN]]
            lines += [f"{word}: ... and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        return "\n".join([*lines, *(f"refused: {name}: {why}" for name, why in self.refused.items())])


def merge(baseline: Baseline, measured: Iterable[Measured]) -> tuple[Baseline, Changes]:
    """The baseline with the measured trials in the sections of their platforms; what is `gone` is dropped.

    Refused: what failed, what is stale, and numbers that are none, which no later check could hold.
    """
    known, sections, done = baseline.ids, list(baseline.sections), Changes()
    gone = set()
    for found in measured:
        bad = [what for what, value in found.values.items() if not math.isfinite(value)]
        if found.state == "gone":
            gone.add(found.trial.id)
            done.dropped.append(found.name)
        elif found.state in ("failed", "stale"):
            done.refused[found.name] = f"{found.state}: {found.reason}"
        elif not found.done:
            if found.trial.id in known:
                done.unmeasured.append(found.name)
        elif bad:
            done.refused[found.name] = f"{bad[0]} is {found.values[bad[0]]}"
        else:
            _put(sections, found, done)
    left = [Section(s.platform, {k: v for k, v in s.trials.items() if k not in gone}) for s in sections]
    return replace(baseline, sections=[s for s in left if s.trials]), done


def _put(sections: list[Section], found: Measured, done: Changes) -> None:
    trial = found.trial
    golden = Golden(found.name, trial.experiment, dict(trial.varied), trial.seed, dict(found.values), found.state)
    fitting = [i for i, s in enumerate(sections) if not platforms.differing(s.platform, found.platform)]
    if not fitting:
        sections.append(Section(found.platform, {}))
        fitting = [len(sections) - 1]
    at = next((i for i in fitting if trial.id in sections[i].trials), fitting[0])
    section = sections[at]
    was = section.trials.get(trial.id)
    same = was is not None and (was.values, was.outcome) == (golden.values, golden.outcome)
    (done.added if was is None else done.same if same else done.changed).append(found.name)
    sections[at] = Section({**section.platform, **found.platform}, {**section.trials, trial.id: golden})


def measure(here: Iterable[Measured], there: Iterable[Measured], label: str) -> list[Measurement]:
    """How far the same trials lie apart in two stores; one measurement for every way in which platforms differ."""
    others = {m.trial.id: m for m in there}
    pairs: dict[tuple[tuple[str, tuple[str, str]], ...], list[tuple[Measured, Measured]]] = {}
    for one in here:
        if (other := others.get(one.trial.id)) is not None:
            differs = platforms.differing(one.platform, other.platform)
            ordered = tuple((key, (min(v), max(v))) for key, v in differs.items())
            pairs.setdefault(ordered, []).append((one, other))
    found = []
    for ordered, alike in pairs.items():
        largest: dict[str, dict[str, float]] = {}
        for one, other in alike:
            mine = largest.setdefault(one.trial.experiment, {})
            for what in one.values.keys() & other.values.keys():
                distance = platforms.apart(one.values[what], other.values[what])
                mine[what] = max(mine.get(what, 0.0), distance if math.isfinite(distance) else 1.0)
        found.append(Measurement(dict(ordered), f"{counted(len(alike), 'trial')}, {label}", largest))
    return found


def with_measurements(baseline: Baseline, found: Iterable[Measurement]) -> Baseline:
    """The baseline with measurements added; of an experiment that was measured before, the new numbers count."""
    kept = {tuple(m.differs.items()): m for m in baseline.measurements}
    for new in found:
        key = tuple(new.differs.items())
        old = kept.get(key)
        kept[key] = replace(new, largest={**old.largest, **new.largest}) if old else new
    return replace(baseline, measurements=list(kept.values()))


# The file


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline; its losses keep every digit."""
    body = {
        **baseline.about,
        "platforms": [
            {"platform": dict(s.platform), "trials": {trial: _slim(g) for trial, g in s.trials.items()}}
            for s in baseline.sections
        ],
        "measured": [asdict(m) for m in baseline.measurements],
    }
    files.write(path, json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _slim(golden: Golden) -> dict[str, Any]:
    return {key: value for key, value in asdict(golden).items() if (key, value) != ("outcome", "finished")}


def read(path: Path) -> Baseline:
    """Read a baseline. Raises `GateError` where there is none that can be used."""
    if not path.is_file():
        raise GateError(f"no baseline at {path}: bench check --update writes one")
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if "allowed" in next(iter(body.get("trials", {}).values()), {}):
            raise ValueError("it was written by an older bench, which let losses move by the spread over seeds")
        sections = [Section(dict(s["platform"]), _goldens(s["trials"])) for s in body["platforms"]]
        measurements = [_measurement(m) for m in body["measured"]]
        about = {key: value for key, value in body.items() if isinstance(value, str)}
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:  # JSON's are ValueErrors
        mend = "delete it, and --update writes it anew"
        raise GateError(f"{path} is no baseline ({type(error).__name__}: {error}): {mend}") from None
    return Baseline(about, sections, measurements)


def _goldens(body: Mapping[str, Any]) -> dict[str, Golden]:
    found = {trial: Golden(**golden) for trial, golden in body.items()}
    for golden in found.values():
        for what, value in golden.values.items():
            if not math.isfinite(value):
                raise ValueError(f"'{what}' is {value}")
    return found


def _measurement(body: Mapping[str, Any]) -> Measurement:
    found = Measurement(
        {key: (str(a), str(b)) for key, (a, b) in body["differs"].items()}, str(body["compared"]), body["largest"]
    )
    for largest in found.largest.values():
        for what, value in largest.items():
            if not value >= 0:
                raise ValueError(f"'{what}' was measured to differ by {value}")
    return found
