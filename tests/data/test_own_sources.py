"""Data that a paper's own package brings: found, planned, run, and counted in a trial's id as built-in data is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from running import Ran

Bench = Callable[..., Ran]

BOWLS = '''"""Where a ball starts."""

from pathlib import Path

from retable.bench.data import Source, root

START = 3.0


def _missing():
    return None if (root() / "bowls").is_dir() else "bowls are not here: bench data get bowls"


def _get(progress=None):
    (root() / "bowls").mkdir(parents=True)


SOURCE = Source("bowls", "hand-made bowls", "CC0 1.0", lambda: "v1", _missing, _get, embedded=False)
'''


@pytest.fixture
def potter(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy paper, whose first task reads bowls that its package brings."""
    monkeypatch.delenv("RETABLE_DATA", raising=False)
    package = project / "toypaper"
    (package / "bowls.py").write_text(BOWLS)
    edit(
        package / "__init__.py",
        '"loss/final", lambda s: []),\n    TaskSpec(\n',
        '"loss/final", lambda s: ["bowls"]),\n    TaskSpec(\n',
    )
    edit(package / "__init__.py", "LOSS = {", "from toypaper import bowls\n\nSOURCES = [bowls.SOURCE]\nLOSS = {")
    edit(
        package / "tasks.py",
        "from toypaper.helper import loss",
        "from toypaper import bowls\nfrom toypaper.helper import loss",
    )
    edit(package / "tasks.py", "torch.randn(4)\n        self.x =", "bowls.START * torch.randn(4)\n        self.x =")
    return project


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))


def ids(bench: Bench) -> list[str]:
    return [trial["id"] for trial in bench("plan", "toy", "--json").json["trials"]]


def test_its_version_is_part_of_every_trial_that_reads_it(potter: Path, bench: Bench) -> None:
    before = ids(bench)
    edit(potter / "toypaper" / "bowls.py", "hand-made bowls", "bowls, made by hand")
    assert ids(bench) == before
    edit(potter / "toypaper" / "bowls.py", '"v1"', '"v2"')
    assert not set(before) & set(ids(bench))


def test_it_is_listed_asked_for_fetched_and_run_like_any_other(potter: Path, bench: Bench) -> None:
    listed = {row["name"]: row for row in bench("data", "list", "--json").json}
    assert listed["bowls"]["about"] == "hand-made bowls" and not listed["bowls"]["here"] and "photos" in listed
    assert "data bowls: bowls are not here: bench data get bowls" in bench("plan", "toy").out
    refused = bench("run", "toy", "--only", "tune")
    assert refused.code == 2 and "bench data get bowls" in refused.err

    assert bench("data", "get", "bowls").out == "bowls is ready\n"
    assert (potter / "data" / "bowls").is_dir()
    assert "data bowls: here" in bench("plan", "toy").out
    assert bench("run", "toy", "--only", "tune", "--no-report").code == 0

    edit(potter / "toypaper" / "bowls.py", "START = 3.0", "START = 4.0")
    trial = next(
        t for t in bench("plan", "toy", "--only", "tune", "--json").json["trials"] if t["experiment"] == "tune"
    )
    assert trial["state"] == "stale"
    assert "toypaper.bowls: START changed" in bench("why", "toy", trial["id"]).out


def test_a_name_that_is_taken_is_an_error_with_both_places(potter: Path, bench: Bench) -> None:
    edit(potter / "toypaper" / "bowls.py", 'Source("bowls"', 'Source("photos"')
    said = "two data sources are called 'photos', in retable.bench.data.photos and in toypaper: rename one"
    planned = bench("plan", "toy")
    assert planned.code == 2 and planned.err == f"suites/toy.yaml:7:11: packages: {said}\n"
    examined = bench("doctor")
    assert examined.code == 2 and said in examined.out


def test_a_name_that_nobody_brings_is_an_error_with_the_nearest(potter: Path, bench: Bench) -> None:
    edit(potter / "toypaper" / "__init__.py", '["bowls"]', '["bowl"]')
    planned = bench("plan", "toy")
    assert planned.code == 2 and planned.err.startswith(
        "grid: its task reads unknown data 'bowl'; did you mean 'bowls'?"
    )


def test_what_is_no_source_is_an_error(potter: Path, bench: Bench) -> None:
    edit(potter / "toypaper" / "__init__.py", "[bowls.SOURCE]", '["bowls"]')
    planned = bench("plan", "toy")
    assert planned.code == 2 and "toypaper: SOURCES lists 'bowls', which is no" in planned.err


def test_data_that_is_built_in_needs_no_sound_suite(potter: Path, bench: Bench) -> None:
    edit(potter / "suites" / "toy.yaml", "packages: toypaper", "packages: toypapper")
    ran = bench("data", "list")
    assert ran.code == 0 and "photos" in ran.out and "bowls" not in ran.out
    assert "toy.yaml:7:11: packages: cannot be imported: No module named 'toypapper'" in ran.err
