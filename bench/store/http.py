"""Reading a tracking server over HTTP: what `sql` reads from a database, with as few requests as it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from retable.bench.store.client import MlflowException, connect, explained, patiently
from retable.bench.store.records import Run, number

_final: dict[tuple[str, str], tuple[dict[str, float], dict[str, str]]] = {}
"""(store, run id) -> last metrics and parameters of finished runs: what the list of runs brings along anyway."""


def runs(uri: str, experiments: Sequence[str], trial: str | None, running: bool) -> list[Run]:
    """`reading.runs`."""
    api = connect(uri)
    names: dict[str, str] = {}
    result: list[Run] = []
    token: str | None = None
    with explained(uri):
        for name in experiments:
            found = patiently(uri, lambda name=name: api.get_experiment_by_name(name))  # type: ignore[misc]
            if found is not None and found.lifecycle_stage == "active":
                names[found.experiment_id] = name
        conditions = [f"tags.`retable.trial` = '{trial}'"] if trial else []
        conditions += ["attributes.status = 'RUNNING'"] if running else []
        wanted = " and ".join(conditions)
        while names:
            page = patiently(
                uri,
                lambda token=token: api.search_runs(  # type: ignore[misc]
                    list(names), wanted, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token
                ),
            )
            for found in page:
                result.append(_run(found, names[found.info.experiment_id]))
                if found.info.status == "FINISHED":
                    _final[uri, found.info.run_id] = _numbers(found)
            token = page.token
            if not token:
                break
    return result


def attempted(uri: str, experiments: Sequence[str]) -> set[str]:
    """`reading.attempted`."""
    found = runs(uri, experiments, None, False)
    return {run.tags["retable.trial"] for run in found if "retable.trial" in run.tags}


def tags(uri: str, experiments: Sequence[str], beginning: str) -> dict[str, dict[str, str]]:
    """`reading.tags`."""
    api, result = connect(uri), {}
    with explained(uri):
        for name in experiments:
            found = patiently(uri, lambda name=name: api.get_experiment_by_name(name))  # type: ignore[misc]
            if found is not None and found.lifecycle_stage == "active":
                result[name] = {key: value for key, value in found.tags.items() if key.startswith(beginning)}
    return result


def tag(uri: str, experiment: str, key: str, value: str) -> None:
    """`reading.tag`."""
    api = connect(uri)
    with explained(uri):
        found = patiently(uri, lambda: api.get_experiment_by_name(experiment))
        patiently(uri, lambda: api.set_experiment_tag(found.experiment_id, key, value))


def starting_with(uri: str, run_id: str) -> list[Run]:
    """`reading.starting_with`; a server knows whole ids alone."""
    try:
        found = connect(uri).get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            return []
        with explained(uri):
            raise
    if found.info.lifecycle_stage != "active":
        return []
    return [_run(found, connect(uri).get_experiment(found.info.experiment_id).name)]


def _run(found: Any, experiment: str) -> Run:
    info = found.info
    ended = None if info.end_time is None else info.end_time / 1000
    began = info.start_time / 1000
    tags = dict(found.data.tags)
    return Run(info.run_id, experiment, info.run_name, info.status, began, ended, info.artifact_uri, tags)


def _numbers(found: Any) -> tuple[dict[str, float], dict[str, str]]:
    metrics = {key: number(value, math.isnan(value)) for key, value in found.data.metrics.items()}
    return metrics, dict(found.data.params)


def _known(uri: str, run_ids: Sequence[str]) -> dict[str, tuple[dict[str, float], dict[str, str]]]:
    with explained(uri):
        return {
            run_id: _final.get((uri, run_id))
            or _numbers(patiently(uri, lambda run_id=run_id: connect(uri).get_run(run_id)))  # type: ignore[misc]
            for run_id in run_ids
        }


def metrics(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """`reading.metrics`."""
    return {run_id: metrics for run_id, (metrics, _) in _known(uri, run_ids).items()}


def params(uri: str, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """`reading.params`."""
    return {run_id: params for run_id, (_, params) in _known(uri, run_ids).items()}


REQUESTS = 8
"""A server answers for one curve at a time; so many are asked for at once."""


def curves(uri: str, run_ids: Sequence[str], metric: str) -> list[tuple[str, int, float]]:
    """`reading.curves`."""

    def one(run_id: str) -> list[tuple[str, int, float]]:
        history = patiently(uri, lambda: connect(uri).get_metric_history(run_id, metric))
        ordered = sorted(history, key=lambda point: (point.step, point.timestamp))
        steps = {p.step: number(p.value, math.isnan(p.value)) for p in ordered}
        return [(run_id, step, value) for step, value in steps.items()]

    with explained(uri), ThreadPoolExecutor(REQUESTS) as pool:
        return [row for rows in pool.map(one, run_ids) for row in rows]
