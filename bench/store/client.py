"""MLflow's client, and what its errors mean. The only module that imports MLflow: what else of it the store uses, it
takes from here.

Importing this changes nothing outside; what MLflow must be told of our ways, it is told at its first use (`settle`).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar
from urllib.parse import quote

import requests

from retable.bench.store import patience
from retable.bench.store.places import StoreError, redact

TELEMETRY = "MLFLOW_DISABLE_TELEMETRY"


@contextmanager
def _unreported() -> Iterator[None]:
    """MLflow decides at its import whether it reports usage over the network, and writes an installation id if so: it
    does not, unless the user said that it may. Afterwards the environment is what it was."""
    said = os.environ.get(TELEMETRY)
    os.environ.setdefault(TELEMETRY, "true")
    try:
        yield
    finally:
        if said is None:
            del os.environ[TELEMETRY]


with _unreported():
    from mlflow import MlflowClient as MlflowClient
    from mlflow import entities as entities
    from mlflow.artifacts import download_artifacts as download_artifacts
    from mlflow.exceptions import MlflowException as MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as get_artifact_repository

SETTINGS = {
    TELEMETRY: "true",
    # MLflow would try a request seven times, for minutes, with the training standing still. We wait ourselves, longer.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
LEVELS = {"mlflow": logging.WARNING, "urllib3": logging.ERROR, "alembic": logging.WARNING}


@cache
def settle() -> None:
    """Tell MLflow and what is below it, once, before this process first uses it; what the user has set stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)


BATCH = 1000
"""MLflow takes 1000 metrics, 100 parameters and 100 tags in one call."""

_AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED", "ABORTED")
T = TypeVar("T")


def away(uri: str) -> Callable[[Exception], bool]:
    """Whether an error of the store at `uri` may pass by itself. Of SQLite none does: MLflow waits for its lock."""

    def passes(error: Exception) -> bool:
        if uri.startswith("sqlite:"):
            return False
        if isinstance(error, MlflowException):
            return error.error_code in _AWAY
        if isinstance(error, requests.HTTPError):
            return error.response is None or error.response.status_code >= 500
        return isinstance(error, (requests.RequestException, ConnectionError))

    return passes


def patiently(uri: str, call: Callable[[], T]) -> T:
    """The answer of a call that may be repeated, waited for if this process may wait."""
    return patience.wait_for(call, away(uri), "the tracking store")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn the errors of a store that cannot be used into a `StoreError` that a person can read."""
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        said = redact(str(error)).strip().splitlines()
        raise StoreError(
            f"the tracking store {redact(uri)} cannot be used: {said[0] if said else repr(error)}"
        ) from None


@cache
def connect(uri: str) -> MlflowClient:
    """The client of the store at `uri`, made once."""
    settle()
    return MlflowClient(tracking_uri=sent(uri))


def sent(uri: str) -> str:
    """A tracking URI as it is given to MLflow, which hands it to `requests`, which sends the name and password in it.

    Servers read them as UTF-8, `requests` would write them as Latin-1: so each byte is given as the letter it is there.
    """
    user, at, rest = uri.rpartition("@")
    if not at or not uri.startswith(("http://", "https://")):
        return uri
    return re.sub("%[89A-F][0-9A-F]", lambda byte: quote(chr(int(byte[0][1:], 16))), user) + at + rest
