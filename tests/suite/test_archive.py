"""The archive of a task's code: its modules alone, the same bytes each time, and the hash of its runs' stamp."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from running import ROOT

from retable.bench.suite import archive, fingerprint

MAKE = "retable.models.fast_style.task:FastStyleTask"


def test_an_archive_tells_the_hash_of_its_code() -> None:
    code = fingerprint.of(MAKE)
    files = archive.unpack(archive.pack(code))
    assert archive.digest(files) == fingerprint.digest(code)
    assert {n.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for n in files} == set(code)
    assert files["retable/bench/run/training.py"] == (ROOT / "bench" / "run" / "training.py").read_bytes()


def test_the_same_code_gives_the_same_bytes_whenever_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smallpaper").mkdir()
    (tmp_path / "smallpaper" / "__init__.py").write_text("")
    (tmp_path / "smallpaper" / "tasks.py").write_text("def make(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = archive.pack(fingerprint.of("smallpaper.tasks:make", ["smallpaper"]))
    os.utime(tmp_path / "smallpaper" / "tasks.py", (0, 0))
    assert archive.pack(fingerprint.of("smallpaper.tasks:make", ["smallpaper"])) == first
    assert str(tmp_path).encode() not in first


@pytest.mark.parametrize("name", ["../a.py", "/a.py", "a/../../b.py", "a.txt", "a//b.py", "C:/a.py", ""])
def test_what_leads_outside_is_no_archive_of_ours(name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        if name:
            made.writestr(zipfile.ZipInfo(name), b"x = 1\n")
    with pytest.raises(ValueError, match="other files than modules"):
        archive.unpack(buffer.getvalue())
    with pytest.raises(ValueError, match="zip"):
        archive.unpack(b"soup")
