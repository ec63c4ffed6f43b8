"""The registry: names, versions, what is missing, and that looking costs next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import retable.bench.data
from retable.bench.data import coco
from retable.bench.data import source as base


def test_every_source_has_its_facts() -> None:
    sources = retable.bench.data.sources()
    assert {"photos", "styles", "vgg16", "coco2017", "coco2014"} <= set(sources)
    for name, source in sources.items():
        assert source.name == name
        assert source.about and source.licence and source.version()
        assert source.embedded == (source.get is None), "what does not ship must be downloadable"


def test_embedded_sources_are_usable_as_installed() -> None:
    for source in retable.bench.data.sources().values():
        if source.embedded:
            assert retable.bench.data.missing(source.name) is None


def test_a_missing_source_names_the_command_that_gets_it() -> None:
    for source in retable.bench.data.sources().values():
        if not source.embedded:
            assert f"bench data get {source.name}" in (retable.bench.data.missing(source.name) or "")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean 'coco2017'"):
        retable.bench.data.find("coco217")
    with pytest.raises(LookupError, match="folder:PATH"):
        retable.bench.data.find("folder:")


def test_a_version_stays_when_the_data_arrives(data_root: Path) -> None:
    before = retable.bench.data.version("coco2017")
    for folder in ("train2017", "val2017"):
        (data_root / "coco2017" / folder).mkdir(parents=True)
        (data_root / "coco2017" / folder / "1.jpg").touch()
    assert retable.bench.data.missing("coco2017") is None
    assert retable.bench.data.version("coco2017") == before
    assert before != retable.bench.data.version("coco2014")
    assert before in {"2017-" + coco.RELEASES["coco2017"].archives["train"].md5[:12]}


def test_the_data_folder_is_the_environments_or_the_projects(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retable.bench.data.root() == data_root
    monkeypatch.delenv("RETABLE_DATA")
    monkeypatch.setattr(base, "project_data", Path("data"))  # as before any suite is loaded
    monkeypatch.chdir(tmp_path)
    assert retable.bench.data.root() == tmp_path / "data"


def test_names_versions_and_gaps_need_no_heavy_import() -> None:
    code = (
        "import sys, retable.bench.data\n"
        "assert 'pydantic' not in sys.modules\n"
        "for name in retable.bench.data.sources(): retable.bench.data.version(name), retable.bench.data.missing(name)\n"
        "heavy = {'numpy', 'PIL', 'torch', 'torchvision', 'skimage', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
