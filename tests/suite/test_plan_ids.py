"""A trial's id: a hash of all that determines its result, and of nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kites
import pytest
from running import ROOT

from retable.bench.suite import loader, plan
from retable.bench.suite.schema import Suite

SUITE = """\
scales: {quick: {about: a, settings: {size: {value: 5, source: s 1}}}, long: {about: a}}
settings: {tail: {value: long, source: s 1}}
experiments:
  first: {task: fly, about: a, settings: {line: {value: [1, 2], source: s 1}}}
  e:
    task: fly
    about: a
    settings: {line: {value: 2, source: s 1}, pictures: {value: 'folder:pictures', source: s 1}}
    cells: {one: {weights: {value: [[0.1, 3]], source: s 1}}}
    from: {experiment: first, match: [line]}
  tune:
    task: fly
    about: a
    search:
      {space: {line: {low: 1, high: 9}}, trials: 2, metric: loss/final, direction: minimize, report_every: 0,
       source: s 3, sampler: {name: TPESampler}, pruner: {name: NopPruner}}
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The user's folder that experiment `e` reads: pictures.png in `pictures` of the working directory."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    return folder


def ids(suite: Suite, experiment: str, scale: str = "quick", **options: int) -> list[str]:
    return [t.id for t in plan.trials(suite, scale, seeds=options.get("seeds")) if t.experiment == experiment]


def changed(old: str, new: str) -> str:
    assert SUITE.count(old) == 1, old
    return SUITE.replace(old, new)


def test_an_id_is_twelve_hex_digits(read: Callable[[str], Suite], pictures: Path) -> None:
    (first,) = ids(read(SUITE), "e")
    assert len(first) == 12 and int(first, 16) >= 0


@pytest.mark.parametrize(
    ("experiment", "old", "new"),
    [
        ("e", "value: [[0.1, 3]]", "value: [[0.1, 4]]"),
        ("e", "value: [[0.1, 3]]", "value: [[3, 0.1]]"),
        ("e", "tail: {value: long", "tail: {value: short"),
        ("e", "size: {value: 5", "size: {value: 7"),
        ("e", "cells: {one:", "cells: {two:"),
        ("e", "\n  e:\n    task: fly", "\n  e:\n    task: glide"),
        ("e", "match: [line]", "where: {line: 1}"),
        ("e", "    from: {experiment: first, match: [line]}\n", ""),
        ("tune", "low: 1,", "low: 2,"),
        ("tune", "high: 9}", "high: 9, log: true}"),
        ("tune", "line: {low: 1, high: 9}", "line: {low: 1, high: 9}, size: [3, 5]"),
        ("tune", "metric: loss/final", "metric: loss/total"),
        ("tune", "minimize", "maximize"),
        ("tune", "report_every: 0", "report_every: 1"),
        ("tune", "TPESampler", "RandomSampler"),
        ("tune", "TPESampler", "TPESampler, options: {seed: 1}"),
        ("tune", "NopPruner", "MedianPruner"),
    ],
)
def test_an_id_depends_on(read: Callable[[str], Suite], pictures: Path, experiment: str, old: str, new: str) -> None:
    before, after = ids(read(SUITE), experiment), ids(read(changed(old, new)), experiment)
    assert before and after and not {*before} & {*after}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value: 2, source", "value: 2.0, source"),
        ("value: 2, source", "value: 20e-1, source"),
        ("value: 2, source: s 1", "value: 2, source: section 2"),
        ("value: 2, source", "value: [2, 1], source"),
        (
            "settings: {line: {value: 2, source: s 1}, ",
            "settings: {line: {value: 2, source: s 1}, strong: {value: false, source: a default}, ",
        ),
        ("size: {value: 5", "size: {value: 5.0"),
        ("quick: {about: a,", "quick: {about: another minute,"),
        ("long: {about: a}", "long: {about: a}, paper: {about: a}"),
        ("  e:\n    task: fly\n    about: a\n", "  e:\n    seeds: 3\n    about: the same\n    task: fly\n"),
        ("cells: {one: {", "cells: {two: {}, one: {size: {value: 5, source: s 1}, "),
        ("match: [line]}", "where: {line: [2, 3]}}"),
        ("value: [1, 2]", "value: [2, 7, 1]"),
        ("metric: loss/final", "metric: loss/total"),
        ("experiments:\n", "experiments:\n  more: {task: fly, about: a}\n"),
        ("settings: {tail", "notes: [a note]\nsettings: {tail"),
    ],
)
def test_an_id_does_not_depend_on(read: Callable[[str], Suite], pictures: Path, old: str, new: str) -> None:
    (before,) = ids(read(SUITE), "e")
    assert before in ids(read(changed(old, new)), "e")


@pytest.mark.parametrize(
    ("old", "new"), [("trials: 2", "trials: 5"), ("source: s 3", "source: section 3"), ("high: 9}", "high: 9.0}")]
)
def test_a_searchs_ids_do_not_depend_on(read: Callable[[str], Suite], pictures: Path, old: str, new: str) -> None:
    before = ids(read(SUITE), "tune")
    assert ids(read(changed(old, new)), "tune")[:2] == before


def test_the_trials_of_a_search_are_numbered_and_differ(read: Callable[[str], Suite], pictures: Path) -> None:
    found = [t for t in plan.trials(read(SUITE), "quick", seeds=2) if t.experiment == "tune"]
    assert [(t.seed, t.slot) for t in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({t.id for t in found}) == 4
    assert all("line" not in t.settings and t.settings["size"] == 5 for t in found)


def test_an_id_depends_on_the_seed_and_the_scale(read: Callable[[str], Suite], pictures: Path) -> None:
    suite = read(changed("long: {about: a}", "long: {about: a, settings: {size: {value: 5, source: s 1}}}"))
    found = [*ids(suite, "e", seeds=3), *ids(suite, "e", "long", seeds=3)]
    assert len({*found}) == 6


def test_an_id_depends_on_the_names_of_suite_and_experiment(
    read: Callable[[str], Suite], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = ids(read(SUITE), "e")
    (renamed,) = ids(read(SUITE.replace("  e:\n", "  f:\n")), "f")
    monkeypatch.setattr(kites, "HEAD", kites.HEAD.replace("suite: kites", "suite: dragons"))
    (moved,) = ids(read(SUITE), "e")
    assert len({before, renamed, moved}) == 3


def test_an_id_does_not_depend_on_the_packages_or_on_what_is_said_of_the_paper(
    read: Callable[[str], Suite], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids(read(SUITE), "e")
    said = kites.HEAD.replace("packages: kites", "packages: [retable.models, kites]").replace("Made up", "Dreamt up")
    monkeypatch.setattr(kites, "HEAD", said.replace("title: Kites", "venue: air, title: On kites"))
    assert ids(read(SUITE), "e") == before


def test_an_id_depends_on_the_version_of_what_the_task_reads(read: Callable[[str], Suite], pictures: Path) -> None:
    suite = read(SUITE)
    before, others = ids(suite, "e"), ids(suite, "tune")
    (pictures / "b.png").write_bytes(b"b")
    after = ids(suite, "e")
    assert before != after and ids(suite, "tune") == others
    (trial,) = (t for t in plan.trials(suite, "quick") if t.experiment == "e")
    assert [*trial.data] == ["folder:pictures"] and len(trial.data["folder:pictures"]) == 12


def test_ids_are_the_same_in_every_process(project: Path) -> None:
    script = (
        "from retable.bench.suite import loader, plan\n"
        "print(*(t.id for t in plan.trials(loader.load('toy').suite, 'quick')))"
    )
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert again == [t.id for t in plan.trials(loader.load("toy").suite, "quick")]


MOVED = "if this change is meant to give trials new ids, every result so far is lost to it: say so in the CHANGELOG"


def test_the_toy_suites_ids_have_not_moved(project: Path) -> None:
    suite = loader.load("toy").suite
    named = {f"{t.experiment}: {t.name}": t.id for t in plan.trials(suite, "quick")}
    every = [t.id for scale in suite.scales for t in plan.trials(suite, scale)]
    assert named["grid: plain lr=0.5 seed=0"] == "805b407f93e7", MOVED
    assert named["grid: momentum lr=0.001 seed=1"] == "4d92d09fde63", MOVED
    assert named["tune: tune seed=0"] == "acd8f7b7b922", MOVED
    assert len(every) == 17 + 17 + 200
    assert hashlib.sha256("".join(every).encode()).hexdigest()[:12] == "98e62cd9d698", MOVED


def test_a_searchs_ids_have_not_moved(read: Callable[[str], Suite], pictures: Path) -> None:
    assert ids(read(SUITE), "tune") == ["d7d7f9a48544", "c725049a2483"], MOVED


@pytest.mark.parametrize(
    ("name", "trial", "id"),
    [
        ("fanet", "fanet seed=0", "725ac868dcee"),
        ("flexible_solver", "iterations=1 seed=0", "b84f267f5867"),
        ("optimizers", "adagrad lr=0.1 batch_size=1 seed=0", "c5894dfa8f24"),
        ("separability", "baseline seed=0", "877144d4051a"),
        ("ssl_dynamics", "symmetric=false seed=0", "e26c7690850a"),
    ],
)
def test_a_shipped_suites_ids_have_not_moved(name: str, trial: str, id: str) -> None:
    first = plan.trials(loader.load(ROOT / "suites" / f"{name}.yaml").suite, "quick")[0]
    assert (first.name, first.id) == (trial, id), MOVED
