"""Which stores a run uses: two URLs (Optuna's storage, MLflow's tracking store), and where their files lie.

A URL bears the name and password that its server asks for, percent-encoded, and is itself the only place where they
are kept: whatever shows one goes through `redact`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from retable.bench.errors import RetableError
from retable.bench.store.redaction import redact as redact


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
    tracking = tracking or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(folder / "mlflow.db")
    storage = storage or os.environ.get("RETABLE_STORAGE") or sqlite_url(folder / "optuna.db")
    tracking = _http(tracking) if tracking.startswith(("http://", "https://")) else _database(tracking, "tracking URI")
    storage = _database(storage, "storage")
    if tracking.startswith("sqlite:///"):
        folder = sqlite_file(tracking).resolve().parent
    local = tracking.startswith(("sqlite:", "postgresql"))
    return Stores(tracking, storage, folder / "artifacts" if local else None, folder)


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file; `?` and what looks like `%20` would mean something there."""
    return f"sqlite:///{re.sub('%(?=[0-9A-Fa-f]{2})', '%25', str(file)).replace('?', '%3F')}"


def sqlite_file(url: str) -> Path:
    """The file of an SQLite URL, as SQLAlchemy reads it."""
    return Path(unquote(url.removeprefix("sqlite:///").partition("?")[0]))


def _database(url: str, what: str) -> str:
    """An SQLite or PostgreSQL URL as SQLAlchemy takes it: `postgresql://` means psycopg 3, which the extra installs."""
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return url
    parts = re.match(r"(postgres(?:ql)?(?:\+\w+)?)://(?:([^:/]*)(?::([^@]*))?@)?", url)
    if parts:
        scheme = re.sub(r"^postgres(ql)?$", "postgresql+psycopg", parts[1])
        if scheme == "postgresql+psycopg":
            from importlib.util import find_spec

            if find_spec("psycopg") is None:
                raise StoreError(f"the {what} is a PostgreSQL server: pip install 'retable[postgres]'")
        return f"{scheme}://{_user(parts[2], parts[3])}{url[parts.end() :]}"
    kinds = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    kinds += " or http(s)://HOST:PORT" if what == "tracking URI" else ""
    raise StoreError(f"{what} '{_shown(url)}': write {kinds}")


def _http(url: str) -> str:
    """A tracking server's address. MLflow's client sends the name and password in it to this server alone."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text may hold a part of the password
        raise StoreError(
            f"tracking URI '{_shown(url)}' is no URL: write http(s)://HOST:PORT, and %2F for a / in a password"
        ) from None
    if not host:
        raise StoreError(f"tracking URI '{_shown(url)}' names no host: write http(s)://HOST:PORT")
    return parts._replace(netloc=_user(parts.username, parts.password) + parts.netloc.rpartition("@")[2]).geturl()


def _user(name: str | None, password: str | None) -> str:
    """The name and password of a URL, percent-encoded whatever they were before."""
    if not name and not password:
        return ""
    coded = [quote(unquote(part), safe="") for part in (name or "", password) if part is not None]
    return ":".join(coded) + "@"


def _shown(url: str) -> str:
    """A URL that somebody wrote, for a message: one word, so that a space in it hides nothing from `redact`."""
    return redact("".join(url.split()))


def address(url: str) -> str:
    """A URL without its name, password and query: the same for all who use the store."""
    return re.sub(r"://[^/]*@", "://", url.partition("?")[0], count=1)


def experiment_name(suite: str, experiment: str) -> str:
    """The MLflow experiment of a suite's experiment, all scales together."""
    return f"{suite}/{experiment}"
