"""CIFAR-10 in torchvision's format, on tiny batches and a tiny archive made here."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

import retable.bench.data
from retable.bench.data import DataError, cifar
from retable.bench.data.download import Remote

ROWS = 4


@pytest.fixture
def tree(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small batches whose checksums stand in for the official ones."""
    monkeypatch.delenv("RETABLE_CIFAR10", raising=False)
    return make_tree(data_root / "cifar10", monkeypatch)


def make_tree(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = base / cifar.FOLDER
    folder.mkdir(parents=True)
    sums: dict[str, dict[str, str]] = {}
    for split, names in cifar.BATCHES.items():
        sums[split] = {}
        for i, name in enumerate(names):
            rng = np.random.default_rng([i, len(split)])
            data = rng.integers(0, 256, (ROWS, 3072), dtype=np.uint8)
            content = pickle.dumps({"data": data, "labels": [(i + k) % 10 for k in range(ROWS)]}, protocol=2)
            (folder / name).write_bytes(content)
            sums[split][name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar, "BATCHES", sums)
    return folder


def test_images_are_what_torchvision_reads(tree: Path) -> None:
    images, labels = cifar.load("train")
    assert images.shape == (5 * ROWS, 32, 32, 3)
    assert labels.shape == (5 * ROWS,)
    batch = pickle.loads((tree / "data_batch_2").read_bytes())
    assert labels[ROWS : 2 * ROWS].tolist() == batch["labels"]
    assert np.array_equal(images[ROWS], batch["data"][0].reshape(3, 32, 32).transpose(1, 2, 0))
    assert cifar.load("test")[0].shape == (ROWS, 32, 32, 3)


def test_the_official_pickles_of_python_2_are_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the published files: str keys and array bytes of Python 2, numpy.core in the opcodes."""
    pixels = np.arange(3072, dtype=np.uint32).astype(np.uint8)
    content = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89T" + (3072).to_bytes(4, "little") + pixels.tobytes() + b"tbU\x06labels]K\x07au."
    )
    (tree / "test_batch").write_bytes(content)
    monkeypatch.setitem(cifar.BATCHES, "test", {"test_batch": hashlib.md5(content).hexdigest()})
    images, labels = cifar.load("test")
    assert labels.tolist() == [7]
    assert np.array_equal(images[0], pixels.reshape(3, 32, 32).transpose(1, 2, 0))


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_a_damaged_batch_is_named_with_its_checksum(tree: Path, damage: str) -> None:
    file = tree / "data_batch_3"
    content = file.read_bytes()
    bad = {"truncated": content[:-20], "changed": content[:-1] + b"\x00", "empty": b""}[damage]
    file.write_bytes(bad)
    with pytest.raises(DataError) as error:
        cifar.load("train")
    for word in (str(file), f"{len(bad)} bytes", hashlib.md5(bad).hexdigest(), "bench data get cifar10"):
        assert word in str(error.value)


def test_a_pickle_that_would_run_code_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("ran",)

    content = pickle.dumps({"data": Evil(), "labels": [0]}, protocol=2)
    (tree / "test_batch").write_bytes(content)
    monkeypatch.setitem(cifar.BATCHES, "test", {"test_batch": hashlib.md5(content).hexdigest()})
    with pytest.raises(DataError, match="print, which no batch needs"):
        cifar.load("test")


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_the_user_has_is_accepted(
    inside: bool, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETABLE_CIFAR10", raising=False)
    folder = make_tree(tmp_path / "mine", monkeypatch)
    assert "RETABLE_CIFAR10" in (retable.bench.data.missing("cifar10") or "")
    monkeypatch.setenv("RETABLE_CIFAR10", str(folder if inside else folder.parent))
    assert retable.bench.data.missing("cifar10") is None
    assert len(cifar.load("test")[0]) == ROWS


def test_what_is_missing_is_named(tree: Path) -> None:
    (tree / "data_batch_4").unlink()
    assert "no data_batch_4 in" in (retable.bench.data.missing("cifar10") or "")
    with pytest.raises(DataError, match="bench data get cifar10"):
        cifar.load("train")
    with pytest.raises(ValueError, match="train, test"):
        cifar.load("val")  # type: ignore[arg-type]


@pytest.fixture
def served(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tree as an archive at a file:// address; the data folder is empty again."""
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        for file in sorted(tree.iterdir()):
            opened.add(file, f"{cifar.FOLDER}/{file.name}")
        opened.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    for file in tree.iterdir():
        file.unlink()
    remote = Remote(archive.as_uri(), archive.stat().st_size, hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(cifar, "ARCHIVE", remote)
    return archive


def test_get_downloads_verifies_and_unpacks(served: Path, data_root: Path) -> None:
    cifar.get()
    assert len(cifar.load("train")[0]) == 5 * ROWS
    assert not (data_root / "outside").exists()
    assert not list(data_root.rglob("*.tar.gz"))
    served.unlink()
    cifar.get()  # all there: nothing is asked of the server


def test_an_archive_that_is_no_archive_is_told(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served.write_bytes(b"<html>moved</html>")
    monkeypatch.setattr(cifar, "ARCHIVE", dataclasses.replace(cifar.ARCHIVE, size_bytes=served.stat().st_size, md5=""))
    with pytest.raises(DataError, match="cannot be unpacked"):
        cifar.get()
