"""Which stores a run uses: two URLs (Optuna's storage, MLflow's tracking store), and where their files lie."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from retable.bench.errors import RetableError


class StoreError(RetableError, RuntimeError):
    """A store that cannot be used or does not answer; the text says which and what to do, without its password."""


@dataclass(frozen=True)
class Stores:
    """Where trials are queued and results kept.

    tracking: MLflow tracking URI. storage: Optuna storage URL. artifacts: root for artifacts of a local
    tracking store; None lets the tracking server decide. folder: for locks and other local files.
    """

    tracking: str
    storage: str
    artifacts: Path | None
    folder: Path


def locate(project: Path, tracking: str | None = None, storage: str | None = None) -> Stores:
    """The stores by command line, environment (MLFLOW_TRACKING_URI, RETABLE_STORAGE), or `mlruns/` of the project.

    Artifacts, locks and logs lie beside an SQLite tracking store, else in `mlruns/`; a tracking server keeps its own.
    Raises `StoreError` for a URL that is none of SQLite, PostgreSQL or (for results) a tracking server.
    """
    folder = project / "mlruns"
    tracking = tracking or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    storage = storage or os.environ.get("RETABLE_STORAGE") or f"sqlite:///{folder / 'optuna.db'}"
    tracking = _http(tracking) if tracking.startswith(("http://", "https://")) else _database(tracking, "tracking URI")
    storage = _database(storage, "storage")
    if tracking.startswith("sqlite:///"):
        folder = Path(tracking.removeprefix("sqlite:///")).resolve().parent
    local = tracking.startswith(("sqlite:", "postgresql"))
    return Stores(tracking, storage, folder / "artifacts" if local else None, folder)


def _database(url: str, what: str) -> str:
    """An SQLite or PostgreSQL URL as SQLAlchemy takes it: `postgresql://` means psycopg 3, which the extra installs."""
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return url
    if re.match(r"postgres(ql)?(\+\w+)?://", url):
        plain = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
        if plain.startswith("postgresql+psycopg:"):
            from importlib.util import find_spec

            if find_spec("psycopg") is None:
                raise StoreError(f"the {what} is a PostgreSQL server: pip install 'retable[postgres]'")
        return plain
    kinds = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    kinds += " or http(s)://HOST:PORT" if what == "tracking URI" else ""
    raise StoreError(f"{what} '{redact(url)}': write {kinds}")


def _http(url: str) -> str:
    """A tracking server's address; a name and password in it go where MLflow looks for them and are never shown."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise StoreError(f"tracking URI '{redact(url)}': {error}") from None
    if not host:
        raise StoreError(f"tracking URI '{redact(url)}' names no host: write http(s)://HOST:PORT")
    if parts.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY")
_IN_URL = re.compile(r"([A-Za-z][\w+.-]*://)[^\s/]*@")
_IN_QUERY = re.compile(r"((?:password|passwd|token|secret)=)[^&\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Text for logs, tags and reports: names and passwords of URLs and this process's known secrets taken out."""
    text = _IN_QUERY.sub(r"\1***", _IN_URL.sub(r"\1***@", text))
    for name in _SECRETS:
        secret = os.environ.get(name, "")
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return text


def experiment_name(suite: str, experiment: str) -> str:
    """The MLflow experiment of a suite's experiment, all scales together."""
    return f"{suite}/{experiment}"
