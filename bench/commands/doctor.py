"""`bench doctor`: what this machine has and lacks for a run, and what mends it. It changes nothing and opens no
connection but to stores that are named in the environment."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import click

from retable.bench.commands.common import FINE, JSON, USAGE, dump


@click.command("doctor")
@JSON
def command(as_json: bool) -> int:
    """What this machine has: versions, devices, threads, stores, data and weights; what is wrong and the mend."""
    found = examine()
    print(dump([vars(c) for c in found]) if as_json else text(found))
    return FINE if all(c.fine for c in found) else USAGE


@dataclass(frozen=True)
class Check:
    """One fact; `mend` says what to do where it is not `fine`, or where more is to be had."""

    group: str
    what: str
    fine: bool
    found: str
    mend: str = ""


def examine() -> list[Check]:
    """Everything worth knowing before a run, or when one goes wrong."""
    groups = {
        "environment": _environment,
        "threads": _threads,
        "torch": _torch,
        "devices": _devices,
        "stores": _stores,
        "suites": _suites,
        "data and weights": _data,
        "determinism": _determinism,
    }
    return [Check(group, *fact) for group, look in groups.items() for fact in look()]


def text(found: list[Check]) -> str:
    """For a person: the facts by group; BAD is wrong and has its mend below, a dash is not here and need not be."""
    lines: list[str] = []
    for group in dict.fromkeys(c.group for c in found):
        lines += ["", group] if lines else [group]
        for c in (c for c in found if c.group == group):
            sign = "BAD" if not c.fine else "-  " if c.mend else "ok "
            lines.append(f"  {sign}  {c.what}: {c.found}")
            lines += [f"       -> {c.mend}"] if c.mend else []
    bad = sum(not c.fine for c in found)
    return "\n".join([*lines, "", f"{bad} to mend" if bad else "fit for a run"])


Fact = tuple[str, bool, str, str]
"""what, fine, found, mend: a `Check` without its group."""


def _environment() -> Iterator[Fact]:
    fine = sys.version_info >= (3, 11)
    place = sys.prefix if sys.prefix != sys.base_prefix else "not in a virtual environment"
    yield "python", fine, f"{platform.python_version()} ({place})", "" if fine else "install Python 3.11 or newer"
    yield "system", True, f"{platform.system()} {platform.release()}, {platform.machine()}", ""
    for line in requires("retable") or []:
        name = re.match(r"[\w.-]+", line)
        if name and "extra ==" not in line:
            yield _package(name[0], line)


def _package(name: str, wanted: str) -> Fact:
    try:
        return name, True, version(name), ""
    except PackageNotFoundError:
        return name, False, "not installed", f"pip install '{wanted}'"


def _threads() -> Iterator[Fact]:
    import psutil

    from retable.bench.run import machine

    cores = machine.cores()
    yield "cores", True, f"{cores} of {os.cpu_count()} for this process: a run starts {cores} workers by default", ""
    share = _cgroup_cores()
    if share is not None:
        fine = share >= cores
        mend = "" if fine else f"bench run --workers {max(1, int(share))}"
        yield "container's share", fine, f"{share:g} cores", mend
    set_to = os.environ.get("OMP_NUM_THREADS")
    yield "OMP_NUM_THREADS", True, f"{set_to or 'not set'}; a worker gets its share of the cores in any case", ""
    memory = psutil.virtual_memory()
    free = memory.available / 2**30
    fine = free > cores
    mend = "" if fine else f"a worker of the quick scale takes up to 1 GiB: bench run --workers {max(1, int(free))}"
    yield "memory", fine, f"{free:.1f} GiB free of {memory.total / 2**30:.1f}", mend


def _cgroup_cores(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """The cores that a container's quota is worth; None without one."""
    try:
        quota, period = file.read_text().split()[:2]
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _torch() -> Iterator[Fact]:
    import torch

    kind = (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}" if torch.version.hip else ""
    )
    yield "build", True, f"{torch.__version__}, {kind or 'for the CPU'}", ""
    blas = [
        name for name, there in (("MKL", torch.backends.mkl), ("oneDNN", torch.backends.mkldnn)) if there.is_available()
    ]
    yield "libraries", True, ", ".join([*blas, torch.backends.cpu.get_cpu_capability()]), ""
    native = _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"}
    yield "bf16 on the CPU", True, "native" if native else "not native: precision auto uses fp32", ""
    yield _torchvision(torch.__version__)


def _torchvision(torch_version: str) -> Fact:
    """Each torchvision is built for one torch: 0.21 for 2.6, 0.22 for 2.7, and so on."""
    from retable.bench.data import vision

    wanted = f"0.{int(torch_version.split('.')[1]) + 15}"
    mend = f"pip install 'torchvision=={wanted}.*'"
    try:
        found = str(vision.torchvision().__version__)
    except ImportError as error:
        return "torchvision", False, str(error), mend
    fine = found.startswith(f"{wanted}.")
    return (
        "torchvision",
        fine,
        found + ("" if fine else f", which is not for torch {torch_version}"),
        "" if fine else mend,
    )


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith(("flags", "Features"))), "").split())


def _devices() -> Iterator[Fact]:
    import torch

    from retable.bench.run import machine

    count = torch.cuda.device_count()
    for i in range(count):
        card = torch.cuda.get_device_properties(i)
        bf16 = "" if torch.cuda.get_device_capability(i) >= (8, 0) else ", no bf16"
        yield f"cuda:{i}", True, f"{card.name}, {card.total_memory / 2**30:.0f} GiB{bf16}", ""
    if count:
        return
    drivers = [name for name in machine.GPU_DRIVERS if Path(name).exists()]
    if drivers:
        mend = "a torch build for it: https://pytorch.org/get-started/locally"
        yield "accelerators", False, f"there is a driver ({drivers[0]}) that this torch does not use", mend
    else:
        yield "accelerators", True, "none; trials run on the CPU", ""


def _stores() -> Iterator[Fact]:
    from retable.bench.store import places
    from retable.bench.suite import loader

    here = loader.available()
    place = places.locate(loader.project_of(here[0]) if here else Path.cwd())
    for name, uri in (("results", place.tracking), ("queue", place.storage)):
        if uri.startswith("sqlite:///"):
            yield _sqlite(name, places.sqlite_file(uri))
        else:
            yield _server(name, uri)
    folder = next(p for p in (place.folder, *place.folder.parents) if p.exists())
    if not os.access(folder, os.W_OK):
        yield "folder", False, f"{folder} cannot be written", "make it yours, or give --tracking-uri and --storage"
        return
    free = shutil.disk_usage(folder).free / 2**30
    yield "folder", free > 1, f"{folder}, {free:.0f} GiB free", "" if free > 1 else "a suite's runs take up to 1 GiB"


def _sqlite(name: str, file: Path) -> Fact:
    if not file.exists():
        return name, True, f"{file} (the first run makes it)", ""
    kind = _filesystem(file)
    if kind in NETWORK:
        mend = "a local disk, or a server: MLFLOW_TRACKING_URI and RETABLE_STORAGE"
        return name, False, f"{file} is on {kind}, which does not keep SQLite's locks", mend
    try:
        with sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    mend = "" if verdict == "ok" else f"move {file} aside; a run makes a new one"
    return name, verdict == "ok", f"{file} ({file.stat().st_size / 2**20:.1f} MiB, {verdict})", mend


NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p")


def _filesystem(file: Path) -> str:
    """The kind of file system that a file lies on, empty where nothing tells."""
    import psutil

    mounted = [m for m in psutil.disk_partitions(all=True) if file.resolve().is_relative_to(m.mountpoint)]
    return max(mounted, key=lambda m: len(m.mountpoint)).fstype if mounted else ""


def _server(name: str, uri: str) -> Fact:
    """Whether a server answers within three seconds."""
    from retable.bench.store import places, reading

    shown = places.address(uri)
    if not reading.is_sql(uri):
        import urllib.error
        import urllib.request

        try:
            urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=3).close()
        except (urllib.error.URLError, OSError, ValueError) as error:
            return name, False, f"{shown} does not answer: {error}", "start it, or unset MLFLOW_TRACKING_URI"
        return name, True, f"{shown} answers", ""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_engine(uri, connect_args={"connect_timeout": 3}).connect():
            return name, True, f"{shown} answers", ""
    except ImportError as error:
        return name, False, f"{shown}: {error}", "pip install 'retable[postgres]'"
    except SQLAlchemyError as error:
        said = places.redact(str(getattr(error, "orig", error))).splitlines()[0]
        return name, False, f"{shown} does not answer: {said}", "start it, or mend the URL"


def _suites() -> Iterator[Fact]:
    from retable.bench.suite import loader

    found = loader.available()
    if not found:
        yield "suites", False, "none below this folder", "cd into a project: a folder with suites/ in it"
    for path in found:
        try:
            own = loader.load(path).suite
        except loader.SuiteError as error:
            yield path.stem, False, error.lines[0], f"bench list {path.stem} tells all of its mistakes"
        else:
            yield own.suite, True, f"{len(own.experiments)} experiments at {', '.join(own.scales)}", ""


def _data() -> Iterator[Fact]:
    from retable.bench import data
    from retable.bench.suite import loader

    yield "folder", True, str(data.root()), ""
    try:
        sources = data.sources(loader.packages()[0])
    except data.DataError as error:
        yield "sources", False, str(error), "rename one of them"
        return
    for source in sources.values():
        missing = source.missing()
        # Only what ships with the packages must be here; the rest says how to get it.
        found = "here" if missing is None else "damaged" if source.embedded else "not here"
        yield source.name, missing is None or not source.embedded, f"{found}; {source.about}", missing or ""


def _determinism() -> Iterator[Fact]:
    import torch

    from retable.bench.store import places

    yield "seeds", True, "every trial is seeded from its seed and id; on a CPU in fp32 it repeats bit for bit", ""
    if torch.cuda.is_available():
        yield (
            "cuDNN",
            True,
            f"deterministic {torch.backends.cudnn.deterministic}, benchmark {torch.backends.cudnn.benchmark}",
            "",
        )
        yield (
            "TF32",
            True,
            f"matmul {torch.backends.cuda.matmul.allow_tf32}, cuDNN {torch.backends.cudnn.allow_tf32}",
            "",
        )
    yield "deterministic algorithms", True, "on" if torch.are_deterministic_algorithms_enabled() else "off", ""
    names = ["PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR", "MLFLOW_TRACKING_URI", "RETABLE_STORAGE"]
    for name in [*names, "RETABLE_DATA", "RETABLE_PATIENCE", "RETABLE_HEARTBEAT"]:
        if name in os.environ:
            yield name, True, places.redact(os.environ[name]), ""
