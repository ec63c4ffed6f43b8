"""What a supervisor tells its workers: one JSON line, light enough that telling needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retable.bench.run.options import Options
from retable.bench.store.places import Stores
from retable.bench.suite import fingerprint
from retable.bench.suite.loader import SuiteFile
from retable.bench.suite.schema import Experiment
from retable.bench.task import find_task


@dataclass(frozen=True)
class Orders:
    """What a worker must know; everything else comes with the trials.

    experiments: name -> definition. studies: name -> Optuna study. mlflow: name -> MLflow experiment id.
    codes: name -> digest of the task's code; code_files: the same by definition, stored with each run.
    facts: tags for every run (git commit, versions). device: "cpu", "cuda", "cuda:1".
    guest: serve every study of the suite (of `scale`, if that is not empty) that the storage holds or comes to hold,
        and put back what one is asked to stop; else serve `studies`, whose supervisor sees to the rest.
    mixed: also run trials that were planned with other versions of packages, marked as such.
    """

    suite: str
    packages: list[str]
    project: str
    tracking: str
    storage: str
    artifacts: str | None
    folder: str
    experiments: dict[str, Any]
    studies: dict[str, str]
    mlflow: dict[str, str]
    codes: dict[str, str]
    code_files: dict[str, str]
    facts: dict[str, str]
    device: str
    threads: int
    checkpoint_seconds: float = 60.0
    ranks: int = 1
    guest: bool = False
    scale: str = ""
    mixed: bool = False

    @property
    def stores(self) -> Stores:
        artifacts = None if self.artifacts is None else Path(self.artifacts)
        return Stores(self.tracking, self.storage, artifacts, Path(self.folder))


def standing(
    file: SuiteFile,
    stores: Stores,
    options: Options,
    codes: Mapping[str, fingerprint.Code],
    experiments: Mapping[str, Experiment],
) -> Orders:
    """What every worker of this machine is told; the studies and MLflow experiments are its command's to fill in."""
    return Orders(
        suite=file.suite.suite,
        packages=file.suite.packages,
        project=str(file.project),
        tracking=stores.tracking,
        storage=stores.storage,
        artifacts=None if stores.artifacts is None else str(stores.artifacts),
        folder=str(stores.folder),
        experiments={n: e.model_dump(mode="json", by_alias=True) for n, e in experiments.items()},
        studies={},
        mlflow={},
        codes={n: fingerprint.digest(codes[n]) for n in experiments},
        code_files={n: json.dumps(codes[n]) for n in experiments},
        facts=facts(file.project),
        device=options.device,
        threads=options.threads,
        checkpoint_seconds=options.checkpoint_seconds,
        ranks=options.ranks,
    )


def codes_of(file: SuiteFile) -> dict[str, fingerprint.Code]:
    packages = file.suite.packages
    return {n: fingerprint.of(find_task(e.task, packages).make, packages) for n, e in file.suite.experiments.items()}


def about_of(file: SuiteFile, name: str) -> str:
    paper = file.suite.paper
    return f"{file.suite.experiments[name].about}\n\n{', '.join(paper.authors)}: *{paper.title}* ({paper.year})"


def facts(project: Path) -> dict[str, str]:
    """Facts of machine and code that every run carries as tags."""
    import platform
    from importlib.metadata import version

    cpu, isa = _cpu()
    found = {
        "mlflow.source.name": "bench run",
        "mlflow.source.type": "LOCAL",
        "retable.host": platform.node(),
        "retable.cpu": cpu,
        "retable.isa": isa,
        "retable.cores": str(os.cpu_count()),
        "retable.python": platform.python_version(),
        **{f"retable.{name}": version(name) for name in ("mlflow", "optuna", "numpy", "retable")},
    }
    return found | _commit(project)


def _commit(project: Path) -> dict[str, str]:
    """The project's commit and whether files differ from it; why it is not known, where there is a repository."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(project), *words], capture_output=True, text=True, check=False)

    try:
        commit = git("rev-parse", "HEAD")
    except FileNotFoundError:
        return {"retable.commit_unknown": "git is not installed"}
    if commit.returncode == 0:
        dirty = git("status", "--porcelain", "-uno").stdout.strip()
        return {"mlflow.source.git.commit": commit.stdout.strip(), "retable.dirty": "true" if dirty else "false"}
    if "not a git repository" in commit.stderr:
        return {}
    said = commit.stderr.strip().splitlines()  # dubious ownership, or no commit yet
    return {"retable.commit_unknown": said[0] if said else f"git ended with {commit.returncode}"}


_MATTERING = ("asimd", "sve", "avx", "fma", "avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Flags of a CPU by which torch and its libraries choose their kernels, and so the order in which they add."""


def _cpu() -> tuple[str, str]:
    """The CPU's model, and those of its instruction sets that can move a loss's last digits."""
    import platform

    told: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            told.setdefault(key.strip().lower(), value.strip())
    except OSError:
        pass
    flags = (told.get("flags") or told.get("features") or "").split()
    model = told.get("model name") or platform.processor() or platform.machine()
    return model, " ".join(f for f in _MATTERING if f in flags) or platform.machine()
