"""Fetching what a run has stored: the file itself where the store is on this machine, else a copy."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

import requests

from retable.bench.store import reading
from retable.bench.store.client import MlflowException, download_artifacts, patiently, sent, settle
from retable.bench.store.places import redact
from retable.bench.store.records import Run


def artifact(uri: str, run: Run, path: str, folder: Path) -> Path:
    """A local copy (or the file itself, where the store is local) of an artifact. Raises FileNotFoundError.

    Run ids and paths come from the store: none may lead out of `folder`.
    """
    parts = Path(path).parts
    if not parts or ".." in parts or Path(path).is_absolute() or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run.id):
        raise FileNotFoundError(f"'{path}' of run '{run.id}' is no artifact path")
    local = _local(run.artifact_uri) if reading.is_sql(uri) else None
    if local is not None:
        file = local.joinpath(*parts)
        if not file.is_file():
            raise FileNotFoundError(f"run {run.id} has no artifact '{path}'")
        return file
    target = (folder / run.id).joinpath(*parts)
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # whole or not at all, whoever else fetches it now
            try:
                fetched = patiently(uri, lambda: _download(uri, run.id, path, scratch))
            except (MlflowException, requests.RequestException, OSError) as error:
                said = redact(str(error))
                raise FileNotFoundError(f"run {run.id}: artifact '{path}' could not be fetched: {said}") from error
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(fetched).replace(target)
    return target


def artifact_bytes(uri: str, run: Run, path: str, folder: Path) -> bytes:
    """The content of an artifact, of which no copy is kept. Raises FileNotFoundError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return artifact(uri, run, path, Path(scratch)).read_bytes()


def _download(uri: str, run_id: str, path: str, folder: str) -> str:
    settle()
    got: str = download_artifacts(run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=sent(uri))
    return got


def _local(uri: str) -> Path | None:
    parsed = urlparse(uri)
    if parsed.scheme == "":
        return Path(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None
