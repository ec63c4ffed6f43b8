"""Suite + scale -> trials with stable ids, in dependency order; and the words that select among them."""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ValidationError

from retable.bench import data
from retable.bench.errors import RetableError
from retable.bench.suite import resolve, yaml12
from retable.bench.suite.schema import Claim, Experiment, Suite, View
from retable.bench.suite.values import Written, glob, matches, same, text
from retable.bench.task import TaskSpec, did_you_mean, find_task

MAX_TRIALS = 200_000
"""A suite has at most so many at a scale, unless RETABLE_MAX_TRIALS says otherwise: ten million would fill the memory,
and are mostly a slip of the pen."""


class PlanError(RetableError, ValueError):
    """A selection or override that names nothing, or an experiment that cannot be planned."""


@dataclass(frozen=True)
class Trial:
    """One resolved configuration with one seed: one Optuna trial, one MLflow run.

    id: hash of all that determines its result (settings, seed, scale, data versions, its start).
    settings: every setting of the task; of a search, all but the searched ones.
    varied: the settings in which the experiment's trials differ (and `cell`, an explicit cell's name).
    data: what the task reads -> its version.
    start: id of the trial whose final state this one starts from.
    slot: number of a search's trial; None in a grid.
    """

    id: str
    suite: str
    scale: str
    experiment: str
    task: str
    settings: Mapping[str, Any]
    varied: Mapping[str, Any]
    seed: int
    data: Mapping[str, str] = field(default_factory=dict)
    start: str | None = None
    slot: int | None = None

    @property
    def name(self) -> str:
        """What a person reads in lists and in MLflow: `adam lr=0.001 batch_size=4 seed=0`."""
        words = [text(v) if isinstance(v, str) else f"{k}={text(v)}" for k, v in self.varied.items()]
        said = dict.fromkeys(words or [self.experiment])  # once each: a cell is often called what its setting is
        slot = [f"search #{self.slot}"] if self.slot is not None else []
        return " ".join([*said, *slot, f"seed={self.seed}"])

    def value(self, key: str) -> Any:
        """A setting, `seed`, `cell` or `experiment` by name. KeyError when it has no such setting."""
        if key in ("seed", "experiment", "id"):
            return getattr(self, key)
        return self.varied[key] if key in self.varied else self.settings[key]

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Trial:
        return cls(**json.loads(text))


def trials(
    suite: Suite, scale: str, *, overrides: Mapping[str, Any] | None = None, seeds: int | None = None
) -> list[Trial]:
    """Every trial that the suite declares at a scale, sources before those that start from them.

    overrides: settings forced on every experiment whose task knows them (`--set`).
    seeds: number of seeds, over what the suite says (`--seeds`).
    Raises `PlanError`.
    """
    if scale not in suite.scales:
        raise PlanError(f"suite '{suite.suite}' has no scale '{scale}'{did_you_mean(scale, suite.scales)}")
    specs = {name: find_task(e.task, suite.packages) for name, e in suite.experiments.items()}
    known = {key for spec in specs.values() for key in spec.settings.model_fields}
    for key in overrides or {}:
        if key not in known:
            raise PlanError(f"--set: unknown setting '{key}'{did_you_mean(key, sorted(known))}")
    refused = too_many(suite, scale, specs, overrides, seeds)
    if refused:
        raise PlanError(f"{refused[0]}: {refused[1]}")
    versions: dict[str, str] = {}
    planned: dict[str, list[Trial]] = {}
    for name in _ordered(suite):
        if scale not in suite.experiments[name].not_at:
            planned[name] = list(_of_experiment(suite, scale, name, specs[name], overrides, seeds, planned, versions))
    found = [trial for batch in planned.values() for trial in batch]
    if len({t.id for t in found}) < len(found):
        first: dict[str, Trial] = {}
        twice = next(t for t in found if first.setdefault(t.id, t) is not t)
        raise PlanError(f"experiment '{twice.experiment}' lists the same trial twice: {twice.name}")
    return found


def too_many(
    suite: Suite,
    scale: str,
    specs: Mapping[str, TaskSpec],
    overrides: Mapping[str, Any] | None = None,
    seeds: int | None = None,
) -> tuple[str, str] | None:
    """The experiment with most trials, and what is wrong, where the suite has more at this scale than anybody means.

    They are counted, not made. Raises `PlanError` for a RETABLE_MAX_TRIALS that is no number.
    """
    given = os.environ.get("RETABLE_MAX_TRIALS", str(MAX_TRIALS))
    if not re.fullmatch(r"[0-9]{1,100}", given):
        raise PlanError(
            f"RETABLE_MAX_TRIALS is '{given}'; it is the most trials that a suite may have, as {MAX_TRIALS}"
        )
    counts = {
        name: resolve.count(suite, scale, name, specs[name], overrides, seeds)
        for name, experiment in suite.experiments.items()
        if scale not in experiment.not_at
    }
    total = sum(counts.values())
    if total <= int(given):
        return None
    most = max(counts, key=lambda name: counts[name])
    every = "" if counts[most] == total else f" of {total:,} of the suite"
    return most, (
        f"{counts[most]:,} trials at scale '{scale}'{every}, and at most {int(given):,} are planned; "
        f"shorten its lists or seeds, or allow them: RETABLE_MAX_TRIALS={total}"
    )


def _ordered(suite: Suite) -> list[str]:
    ordered: list[str] = []

    def visit(name: str) -> None:
        start = suite.experiments[name].from_
        if start is not None and start.experiment not in ordered:
            visit(start.experiment)
        if name not in ordered:
            ordered.append(name)

    for name in suite.experiments:
        visit(name)
    return ordered


def _of_experiment(
    suite: Suite,
    scale: str,
    name: str,
    spec: TaskSpec,
    overrides: Mapping[str, Any] | None,
    count: int | None,
    planned: Mapping[str, list[Trial]],
    versions: dict[str, str],
) -> Iterable[Trial]:
    experiment, written = suite.experiments[name], Written()
    fixed: dict[str, Any] = {"suite": suite.suite, "scale": scale, "experiment": name, "task": spec.name}
    search = experiment.search.model_dump(exclude={"trials", "source"}) if experiment.search else None
    for cell in resolve.combinations(suite, scale, name, spec, overrides):
        settings, read = _settings(name, spec, experiment, cell.settings)
        for source in read:
            if source not in versions:
                versions[source] = _version(name, source, suite)
        found = {source: versions[source] for source in read}
        values = {**settings, **cell.varied}
        for seed in resolve.seeds(experiment, scale, count):
            for slot in range(experiment.search.trials) if experiment.search else [None]:
                start = _start(name, experiment, values, seed, planned)
                body = {**fixed, "settings": settings, "seed": seed, "data": found, "start": start}
                key = {**body, "cell": cell.varied.get("cell")}
                if search:
                    key |= {"search": search, "slot": slot}
                digest = hashlib.sha256(written.text(key).encode()).hexdigest()[:12]
                yield Trial(id=digest, varied=cell.varied, slot=slot, **body)


def _version(experiment: str, source: str, suite: Suite) -> str:
    try:
        return data.version(source, suite.packages)
    except LookupError as error:
        raise PlanError(f"{experiment}: its task reads {error}") from None


def _settings(
    name: str, spec: TaskSpec, experiment: Experiment, raw: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Validated settings (searched ones left out) and the names of the data that they read."""
    searched = resolve.first_of_space(experiment)
    try:
        model = spec.settings.model_validate({**raw, **searched})
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        key = ".".join(map(str, item["loc"]))
        raise PlanError(f"{name}: setting {key}: {item['msg']} (got {item.get('input')!r})") from None
    found = model.model_dump(exclude=set(searched)) if searched else model.model_dump()
    return found, list(spec.data(model))


def _start(
    name: str, experiment: Experiment, values: Mapping[str, Any], seed: int, planned: Mapping[str, list[Trial]]
) -> str | None:
    start = experiment.from_
    if start is None:
        return None
    candidates = [
        t
        for t in planned.get(start.experiment, [])
        if all(same(t.value(k), values[k]) for k in start.match)
        and all(matches(t.value(k), v) for k, v in start.where.items())
    ]
    same_seed = [t for t in candidates if t.seed == seed] or candidates
    if len(same_seed) != 1:
        shown = {k: values[k] for k in start.match}
        raise PlanError(
            f"experiment '{name}' starts from '{start.experiment}', where {len(same_seed)} trials fit "
            f"{shown or 'it'} with seed {seed}; name more settings in its from.match or from.where"
        )
    return same_seed[0].id


_CONDITION = re.compile(r"\s*([A-Za-z_][\w/]*)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def select(
    found: Sequence[Trial],
    where: str = "",
    only: Sequence[str] = (),
    suite: Suite | None = None,
    ids: Collection[str] | None = None,
) -> list[Trial]:
    """The trials that `--where` and `--only` leave, with the trials they start from.

    where: conditions that must all hold, as `optimizer=adam*|sgd,lr<=0.01,seed=0`.
    only: experiments, tables, figures or claims of the suite. ids: of trials; None is all of them.
    Raises `PlanError`.
    """
    chosen = [t for t in found if ids is None or t.id in ids]
    if only:
        assert suite is not None
        wanted = {t.id for word in only for t in _only(found, word, suite)}
        chosen = [t for t in chosen if t.id in wanted]
    for condition in filter(None, where.split(",")):
        chosen = _where(found, chosen, condition)
    if not chosen:
        asked = [f"--where '{where}'"] if where else []
        asked += [f"--only {' '.join(only)}"] if only else []
        raise PlanError(f"no trial fits {' and '.join(asked)}")
    by_id = {t.id: t for t in found}
    needed = {t.id for t in chosen}
    for trial in chosen:
        while trial.start is not None and trial.start not in needed:
            needed.add(trial.start)
            trial = by_id[trial.start]
    return [t for t in found if t.id in needed]


def _where(found: Sequence[Trial], chosen: Sequence[Trial], condition: str) -> list[Trial]:
    parsed = _CONDITION.fullmatch(condition)
    if parsed is None:
        raise PlanError(f"--where: '{condition}' is not a condition; write name=value, name!=value or name<=value")
    key, sign, given = parsed.groups()
    keys = {k for t in found for k in (*t.settings, *t.varied, "seed", "experiment", "id")}
    if key not in keys:
        raise PlanError(f"--where: unknown setting '{key}'{did_you_mean(key, sorted(keys))}")

    def fits(trial: Trial) -> bool:
        try:
            value = trial.value(key)
        except KeyError:
            return False
        if sign in ("=", "!="):
            wanted = any(glob(value, g) or same(value, yaml12.scalar(g)) for g in given.split("|"))
            return wanted == (sign == "=")
        bound = yaml12.scalar(given)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isinstance(bound, (int, float)):
            raise PlanError(f"--where: '{condition}' compares {text(value)} with {text(bound)}; {sign} needs numbers")
        return _ORDER[sign](value, bound)

    return [t for t in chosen if fits(t)]


def _only(found: Sequence[Trial], word: str, suite: Suite) -> list[Trial]:
    if word in suite.experiments:
        return [t for t in found if t.experiment == word]
    views: dict[str, View] = {**suite.tables, **suite.figures, **suite.claims}
    if word not in views:
        raise PlanError(
            f"--only: '{word}' is no experiment, table, figure or claim"
            f"{did_you_mean(word, [*suite.experiments, *views])}"
        )
    view = views[word]
    needed = [suite.preconditions[name] for name in view.needs] if isinstance(view, Claim) else []
    return [trial for each in (view, *needed) for trial in in_view(found, each)]


def in_view(found: Iterable[Trial], view: View) -> list[Trial]:
    """The trials that a table, figure or claim looks at."""

    def fits(trial: Trial) -> bool:
        return all(
            key in (*trial.settings, *trial.varied, "seed") and matches(trial.value(key), wanted)
            for key, wanted in view.where.items()
        )

    experiments = set(view.from_)
    rows = getattr(view, "rows", None)
    if isinstance(rows, dict):
        experiments |= {e for row in rows.values() for e in row.from_ or ()}
    return [t for t in found if t.experiment in experiments and fits(t)]


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """`--set key=value` words -> settings; values are read as in YAML. Raises `PlanError`."""
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, given = pair.partition("=")
        if not equals or not key.strip():
            raise PlanError(f"--set '{pair}': write key=value")
        try:
            overrides[key.strip()] = yaml12.loads(given).data
        except yaml12.YamlError as error:
            raise PlanError(f"--set '{pair}': {error}") from None
    return overrides
