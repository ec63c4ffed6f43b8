"""The files around the code say what the code says: citation, changelog, pre-commit, what a wheel holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from running import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_citation_names_this_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"], cited["title"]) == (
        PROJECT["project"]["version"],
        PROJECT["project"]["license"],
        PROJECT["project"]["name"],
    )


def test_pre_commit_runs_the_gates_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert all(hook["entry"] in gate for hook in hooks)
    assert {"ruff check .", "ruff format --check .", "mypy"} == {hook["entry"] for hook in hooks}


def test_every_fragment_of_the_changelog_has_a_kind() -> None:
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    names = [p.name for p in (ROOT / "changelog.d").iterdir() if p.name != "README.md"]
    assert all(re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(kinds)})\.md", name) for name in names), names


def test_every_variable_that_the_code_reads_stands_in_the_documentation() -> None:
    read = {
        name
        for path in (ROOT / "bench").rglob("*.py")
        for name in re.findall(r"\bRETABLE_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8"))
    }
    assert "RETABLE_MAX_TRIALS" in read
    assert read <= set(re.findall(r"RETABLE_[A-Z0-9_]+", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools leaves a build folder, and takes up what it finds in an old one
    for name in ("bench", "models", "suites", "src"):
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*build, str(source)], check=True)
    (packed,) = folder.glob("*.whl")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_takes_one_name_and_holds_suites_and_weights(wheel: Path) -> None:
    tops = {p.name for p in wheel.iterdir() if not p.name.endswith(".dist-info")}
    assert tops == {"retable"}
    held = {str(p.relative_to(wheel / "retable")) for p in (wheel / "retable").rglob("*") if p.is_file()}
    suites = {f"suites/{p.name}" for p in (ROOT / "suites").glob("*.yaml")}
    weights = {f"models/weights/{p.name}" for p in (ROOT / "models" / "weights").iterdir() if p.suffix != ".md"}
    assert suites | weights | {"py.typed", "bench/suite/suite.schema.json", "bench/report/page.css"} <= held


def test_a_project_with_packages_of_our_folders_names_is_no_trouble(wheel: Path, tmp_path: Path) -> None:
    for name in ("models", "data", "tasks", "bench", "suites"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('this is the user\\'s own {name}')\n")
    (tmp_path / "models" / "__init__.py").write_text("")
    (tmp_path / "models" / "mydenoise.py").write_text("MINE = True\n")
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "import models.mydenoise, retable.bench.suite.loader as loader\n"
        "from retable.bench.suite import plan\n"
        f"file = loader.load({str(wheel / 'retable' / 'suites' / 'optimizers.yaml')!r})\n"
        "print(models.mydenoise.MINE, len(plan.trials(file.suite, 'quick')) > 100, loader.__file__)\n"
    )
    outside = {"PYTHONPATH": str(wheel), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=outside, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["True", "True", str(wheel / "retable" / "bench" / "suite" / "loader.py")]
