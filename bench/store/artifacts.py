"""Storing and fetching the files of a run: the file itself where the store is on this machine, else a copy.

What is read is what was written: digests are compared on the way.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import requests

from retable.bench import files
from retable.bench.store import digests, reading
from retable.bench.store.client import MlflowException, connect, download_artifacts, patiently, sent, settle
from retable.bench.store.digests import Damaged
from retable.bench.store.places import redact
from retable.bench.store.records import Run


def store(uri: str, run_id: str, artifact_uri: str, content: Mapping[str, bytes]) -> None:
    """Store files by path inside the run; on this machine each is whole and on the disk, or the former one stays."""
    here = reading.local(uri, artifact_uri)
    if here is not None:
        for path, data in content.items():
            files.write(here / path, data)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for path, data in content.items():
            files.write(Path(scratch) / path, data)
        connect(uri).log_artifacts(run_id, scratch)


def artifact(uri: str, run: Run, path: str, folder: Path) -> Path:
    """A local copy (or the file itself, where the store is local) of an artifact.

    Raises `Damaged` where the run wrote it and it is gone or not as it was, FileNotFoundError where there is none or it
    cannot be fetched. Run ids and paths come from the store: none may lead out of `folder`.
    """
    return _checked(uri, run, path, folder, written(uri, run, folder).get(path))


def artifact_bytes(uri: str, run: Run, path: str, folder: Path) -> bytes:
    """The content of an artifact, of which no copy is kept. Raises as `artifact`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return artifact(uri, run, path, Path(scratch)).read_bytes()


def written(uri: str, run: Run, folder: Path) -> dict[str, str]:
    """Path -> digest of all that a run wrote; empty where it noted none. Raises `Damaged` for a broken list."""
    if digests.TAG not in run.tags:
        return {}
    return digests.parse(run, _checked(uri, run, digests.LIST, folder, run.tags[digests.TAG]).read_bytes())


def _checked(uri: str, run: Run, path: str, folder: Path, wanted: str | None) -> Path:
    """An artifact whose digest is the wanted one, if any is wanted."""
    here = reading.local(uri, run.artifact_uri) is not None
    try:
        found = _found(uri, run, path, folder)
        if wanted is not None and digests.of(found.read_bytes()) != wanted and not here:
            found.unlink()  # the copy may be what is broken
            found = _found(uri, run, path, folder)
    except FileNotFoundError:
        if wanted is not None and (here or not _listed(uri, run, path)):
            raise Damaged(run, path, digests.GONE) from None
        raise
    if wanted is not None and digests.of(found.read_bytes()) != wanted:
        raise Damaged(run, path, digests.CHANGED)
    return found


def _found(uri: str, run: Run, path: str, folder: Path) -> Path:
    parts = Path(path).parts
    if not parts or ".." in parts or Path(path).is_absolute() or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run.id):
        raise FileNotFoundError(f"'{path}' of run '{run.id}' is no artifact path")
    here = reading.local(uri, run.artifact_uri)
    if here is not None:
        file = here.joinpath(*parts)
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


def _listed(uri: str, run: Run, path: str) -> bool:
    """Whether a server says that it has an artifact; one that does not answer is believed to."""
    folder = str(Path(path).parent)
    try:
        found = connect(uri).list_artifacts(run.id, None if folder == "." else folder)
    except (MlflowException, requests.RequestException):
        return True
    return path in {file.path for file in found}


def _download(uri: str, run_id: str, path: str, folder: str) -> str:
    settle()
    got: str = download_artifacts(run_id=run_id, artifact_path=path, dst_path=folder, tracking_uri=sent(uri))
    return got
