"""MLflow's client, and what its errors mean.

Import this module before any other that imports MLflow: what it sets in the environment counts at MLflow's import.
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

# Before the import: MLflow would otherwise report usage over the network and write an installation id.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# MLflow would try a request seven times, for minutes, with the training standing still. We wait ourselves, and longer.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import requests
from mlflow import MlflowClient as MlflowClient
from mlflow.exceptions import MlflowException as MlflowException

from retable.bench.store import patience
from retable.bench.store.places import StoreError, redact

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.WARNING)

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
    return MlflowClient(tracking_uri=sent(uri))


def sent(uri: str) -> str:
    """A tracking URI as it is given to MLflow, which hands it to `requests`, which sends the name and password in it.

    Servers read them as UTF-8, `requests` would write them as Latin-1: so each byte is given as the letter it is there.
    """
    user, at, rest = uri.rpartition("@")
    if not at or not uri.startswith(("http://", "https://")):
        return uri
    return re.sub("%[89A-F][0-9A-F]", lambda byte: quote(chr(int(byte[0][1:], 16))), user) + at + rest
