"""What a project gives the checks to do: its suites' tasks, each with the settings of its first trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from retable.bench.suite import loader, plan, resolve
from retable.bench.suite.schema import Suite
from retable.bench.task import State, listed
from retable.bench.testing.tasks import check_task, model_of


@dataclass(frozen=True)
class Case:
    """A task with settings to try it with. data: all that it takes. start: what it starts from, run first."""

    task: str
    packages: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    start: Case | None = None

    def check(self, steps: int = 6, overrides: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> None:
        """`check_task`, once what it starts from has run. overrides: task -> settings over the trial's own.

        Raises `ConformanceError`.
        """
        start = self.start.model(steps, overrides) if self.start else None
        settings = {**self.settings, **overrides.get(self.task, {})}
        check_task(self.task, settings, packages=self.packages, steps=steps, start=start)

    def model(self, steps: int, overrides: Mapping[str, Mapping[str, Any]]) -> State:
        """What a run of so many steps leaves for another to start from."""
        start = self.start.model(steps, overrides) if self.start else None
        settings = {**self.settings, **overrides.get(self.task, {})}
        return model_of(self.task, settings, packages=self.packages, steps=steps, start=start)

    def __str__(self) -> str:
        return f"{self.task} from {self.start.task}" if self.start else self.task


def of_project(packages: Sequence[str] = ()) -> list[Case]:
    """A case for every task of `packages` (none: of those that the project's suites name), and one more where it starts
    from another's model. Its settings are those of the first trial of the first scale (quick, if there is one) that
    runs it, or else its defaults."""
    found: dict[tuple[str, bool], Case] = {}
    wanted = list(packages)
    for path in loader.available():
        suite = loader.load(path).suite
        if packages and not set(packages) & set(suite.packages):
            continue
        wanted += [] if packages else suite.packages
        for scale in sorted(suite.scales, key=lambda name: name != "quick"):
            for case in _of_suite(suite, scale):
                found.setdefault((case.task, case.start is not None), case)
    wanted = list(dict.fromkeys(wanted))
    for _, spec in listed(wanted, "TASKS"):
        if not {(spec.name, False), (spec.name, True)} & found.keys():
            found[spec.name, False] = Case(spec.name, tuple(wanted))
    ours = {spec.name for _, spec in listed(wanted, "TASKS")}
    return [case for case in found.values() if case.task in ours]


def _of_suite(suite: Suite, scale: str) -> list[Case]:
    made: dict[str, Case] = {}
    for trial in plan.trials(suite, scale):
        start = made[trial.start] if trial.start else None
        settings = {**trial.settings, **resolve.first_of_space(suite.experiments[trial.experiment])}
        data = (*trial.data, *(start.data if start else ()))
        made[trial.id] = Case(trial.task, tuple(suite.packages), settings, data, start)
    return list(made.values())
