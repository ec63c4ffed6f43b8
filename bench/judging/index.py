"""Which trials have which value, so that a row of a table costs what it shows and not a look at all trials."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import Any, Generic, Protocol, TypeVar

from retable.bench.suite.schema import Where
from retable.bench.suite.values import canonical


class _Row(Protocol):
    @property
    def experiment(self) -> str: ...

    def get(self, name: str) -> Any: ...


Row = TypeVar("Row", bound=_Row)


class Index(Generic[Row]):
    """Trials by the values of their settings."""

    def __init__(self, trials: Sequence[Row], references: Set[str]):
        self._trials = trials
        self._references = {i for i, trial in enumerate(trials) if trial.experiment in references}
        self._by_value: dict[str, dict[Hashable, set[int]]] = {}
        self._found: dict[tuple[str, str], set[int]] = {}

    def fitting(self, of_view: Where, conditions: Sequence[tuple[str, Any]]) -> Sequence[Row]:
        """The trials whose settings match all (`values.matches`), in order; those of the view only where a reference
        has them."""
        every = [self._matching(name, wanted) | self._lacking(name) for name, wanted in of_view.items()]
        every += [self._matching(name, wanted) for name, wanted in conditions]
        if not every:
            return self._trials
        smallest, *more = sorted(every, key=len)
        return [self._trials[i] for i in sorted(smallest.intersection(*more))]

    def _lacking(self, name: str) -> set[int]:
        """The references without a setting."""
        return self._references and self._references & self._values(name).get(_key(None), set())

    def _matching(self, name: str, wanted: Any) -> set[int]:
        asked = (name, canonical(wanted))
        if asked not in self._found:
            several = [w for w in wanted if not _listed(w)] if _listed(wanted) else []
            known = self._values(name)
            self._found[asked] = set().union(*(known.get(_key(w), ()) for w in [wanted, *several]))
        return self._found[asked]

    def _values(self, name: str) -> dict[Hashable, set[int]]:
        if name not in self._by_value:
            found = self._by_value[name] = {}
            for i, trial in enumerate(self._trials):
                found.setdefault(_key(trial.get(name)), set()).add(i)
        return self._by_value[name]


def _listed(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _key(value: Any) -> Hashable:
    """Equal for two values that are the same (`values.same`)."""
    if _listed(value):
        return tuple(map(_key, value))
    if isinstance(value, Mapping):
        return ("mapping", canonical(value))
    return (isinstance(value, bool), value)
