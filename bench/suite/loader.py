"""Read a suite: YAML -> `Suite`, or errors that name file, line, column, key and the nearest allowed words."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from retable.bench.errors import RetableError
from retable.bench.suite import yaml12
from retable.bench.suite.checks import problems
from retable.bench.suite.problems import Problem
from retable.bench.suite.project import enter
from retable.bench.suite.schema import Suite
from retable.bench.task import did_you_mean


@dataclass(frozen=True)
class SuiteFile:
    """A suite and where it stands. `project` holds `mlruns/`, `reports/` and the suite's own packages."""

    suite: Suite
    path: Path
    project: Path


class SuiteError(RetableError, ValueError):
    """A suite that cannot be used; the text lists every mistake as `file:line:column: key: what; mend`."""

    def __init__(self, lines: Sequence[str]):
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def load(name_or_path: str | Path) -> SuiteFile:
    """Read and check a suite, given its path or its name. Raises `SuiteError`; runs and imports no torch."""
    path = find(name_or_path)
    shown = _shown(path)
    try:
        document = yaml12.load(path)
    except yaml12.YamlError as error:
        raise SuiteError([f"{shown}:{error.mark.line}:{error.mark.column}: {error}"]) from None
    except OSError as error:
        raise SuiteError([f"{shown}: cannot be read: {error.strerror or error}"]) from None
    project = project_of(path)
    enter(project)
    try:
        suite = Suite.model_validate(document.data)
    except ValidationError as error:
        raise _error(shown, document, _schema_problems(error, document)) from None
    found = list(problems(suite))
    if found:
        raise _error(shown, document, found)
    return SuiteFile(suite, path, project)


def find(name_or_path: str | Path) -> Path:
    """The file of a suite: a path, or the name of a file in `suites/` of this or an enclosing folder."""
    given = Path(name_or_path)
    if given.suffix in (".yaml", ".yml"):
        if given.is_file():
            return given.resolve()
        near = did_you_mean(given.stem, [p.stem for p in available()])
        raise SuiteError([f"{given}: no such file{near}"])
    by_name = {p.stem: p for p in available()}
    if str(given) in by_name:
        return by_name[str(given)]
    raise SuiteError([f"no suite is called '{given}'{did_you_mean(given, by_name)}"])


def available() -> list[Path]:
    """The suites of this project: `suites/*.yaml` in this folder or the nearest one above that has any."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        found = sorted((folder / "suites").glob("*.yaml"))
        if found:
            return found
    return []


def packages() -> tuple[list[str], list[str]]:
    """The packages that this project's suites name, and of each suite that cannot be used its first mistake."""
    found: list[str] = []
    broken: list[str] = []
    for path in available():
        try:
            found += load(path).suite.packages
        except SuiteError as error:
            broken.append(error.lines[0])
    return list(dict.fromkeys(found)), broken


def project_of(path: Path) -> Path:
    """The project a suite stands in: the parent of its `suites/` folder (whatever repository that is part of), else
    the nearest folder above it with a pyproject.toml or .git, else its own folder."""
    if path.parent.name == "suites":
        return path.parent.parent
    for folder in path.parents:
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return folder
    return path.parent


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _error(shown: str, document: yaml12.Document, found: Iterable[Problem]) -> SuiteError:
    placed = sorted({(document.mark(p.path, key=p.at_key), ".".join(map(str, p.path)), p.message) for p in found})
    return SuiteError([f"{shown}:{m.line}:{m.column}: {where or 'suite'}: {message}" for m, where, message in placed])


def _schema_problems(error: ValidationError, document: yaml12.Document) -> Iterator[Problem]:
    """Pydantic's errors with the words of unions and discriminators taken out of their paths."""
    seen: set[yaml12.Path_] = set()
    for item in error.errors(include_url=False):
        path, kinds = _place(item["loc"], document)
        kind, given, context = item["type"], item.get("input"), item.get("ctx", {})
        if kind == "missing":
            needs = f"; {kinds[path]} needs it" if path in kinds else ""
            yield Problem(path, f"'{item['loc'][-1]}' is missing here{needs}", at_key=True)
        elif kind == "union_tag_not_found" and isinstance(given, dict):
            yield Problem(path, f"{context['discriminator']} is missing here", at_key=True)
        elif kind == "extra_forbidden":
            of = f" of {kinds[path[:-1]]}" if path[:-1] in kinds else ""
            near = did_you_mean(path[-1], _allowed(path[:-1], document))
            yield Problem(path, f"unknown key '{path[-1]}'{of}{near}", at_key=True)
        elif path not in seen:  # one line per value, though each branch of a union complains
            seen.add(path)
            message = item["msg"].removeprefix("Value error, ")
            if kind in ("literal_error", "union_tag_invalid"):
                if kind == "union_tag_invalid":
                    key = context["discriminator"].strip("'")
                    path, given = (*path, key), given[key]
                expected = context.get("expected_tags") or context["expected"].replace(" or ", ", ")
                words = [word.strip(" '") for word in expected.split(",")]
                message = f"'{given}' is not allowed{did_you_mean(given, words)}"
            elif not isinstance(given, (dict, list)):
                message += f" (got {given!r})"
            yield Problem(path, message)


def _place(location: Sequence[str | int], document: yaml12.Document) -> tuple[yaml12.Path_, dict[yaml12.Path_, str]]:
    """Where an error lies, and the mappings on the way there that are of a kind: path -> `kind 'curves'`."""
    path: yaml12.Path_ = ()
    kinds: dict[yaml12.Path_, str] = {}
    for part in location:
        tag = _discriminator(_models(path))
        if tag and path not in kinds:
            kinds[path] = f"{tag} '{part}'"
        elif (*path, part) in document.values:
            path = (*path, part)
    return path, kinds


def _models(path: yaml12.Path_) -> list[type[BaseModel]]:
    """The models that a mapping at `path` may be."""
    kinds: list[Any] = [Suite]
    for part in path:
        kinds = [k for kind in kinds for k in _inside(kind, part)]
    return [m for m in kinds if isinstance(m, type) and issubclass(m, BaseModel)]


def _discriminator(models: Sequence[type[BaseModel]]) -> str:
    """The key that tells which of several models a mapping is; an empty text where none does."""
    keys = (key for key in ("form", "kind") if len(models) > 1 and all(key in model.model_fields for model in models))
    return next(keys, "")


def _allowed(path: yaml12.Path_, document: yaml12.Document) -> list[str]:
    """The keys that the schema allows in the mapping at `path`."""
    models, data = _models(path), document.data
    tag = _discriminator(models)
    if tag:
        for part in path:
            data = data[part]
        models = [m for m in models if data[tag] in typing.get_args(m.model_fields[tag].annotation)]
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    """The types that may stand at `part` of a value of type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (dict, list):
        yield from _flat(arguments[-1])
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if part in (field.alias, name):
                yield from _flat(field.annotation)


def _flat(kind: Any) -> Iterator[Any]:
    """A type without annotations, a union as each of its types."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        yield from _flat(arguments[0])
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _flat(argument)
    else:
        yield kind
