"""The real servers that a cluster has, on loopback, each in a folder of its own: PostgreSQL and MLflow."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "s3cret-Pa55"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are: on the PATH, where Debian keeps them, or in the wheel `pgserver`."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if debian:
        return debian[-1].parent
    wheel = importlib.util.find_spec("pgserver")
    return Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None


@dataclass
class Postgres:
    """A PostgreSQL server with a password. It refuses to run as root: there it runs as `postgres` or `nobody`."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="retable-pg-")))
    port: int = field(default_factory=free_port)
    password: str = PASSWORD

    def __post_init__(self) -> None:
        programs = postgres_programs()
        assert programs is not None
        self._programs = programs
        self._as: list[str] = []
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(self.folder, user)
            self._as = ["runuser", "-u", user, "--"]
            if subprocess.run([*self._as, str(programs / "initdb"), "-V"], capture_output=True, check=False).returncode:
                # The wheel, in an environment in root's own folders, into which nobody else may look.
                wheel = programs.parents[1]
                for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
                    shutil.copytree(part, self.folder / "programs" / part.name)
                self._programs = self.folder / "programs" / wheel.name / programs.relative_to(wheel)
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        self._data = self.folder / "data"
        self._do("initdb", "--no-sync", "-A", "scram-sha-256", "-U", "bench", f"--pwfile={secret}", "-D", self._data)
        self.start()
        self.execute("CREATE DATABASE queue")

    def _do(self, program: str, *args: object) -> None:
        command = [*self._as, str(self._programs / program), *map(str, args)]
        # Not through pipes: the server inherits them, and a reader would wait for its end.
        with (self.folder / "log").open("ab") as log:
            done = subprocess.run(command, cwd="/", stdout=log, stderr=log, check=False)
        assert done.returncode == 0, (self.folder / "log").read_text()[-2000:]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k ''"
        self._do("pg_ctl", "-D", self._data, "-w", "-o", options, "-l", self._data / "log", "start")

    def stop(self, mode: str = "fast") -> None:
        self._do("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def restart(self, seconds_away: float = 0.0) -> None:
        self.stop("immediate")
        time.sleep(seconds_away)
        self.start()

    def url(self, database: str = "queue") -> str:
        return f"postgresql://bench:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def fresh(self, name: str) -> str:
        """The URL of a new empty database."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def end(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class MlflowServer:
    """An MLflow tracking server that keeps its artifacts itself."""

    folder: Path
    template: Path
    """An empty, migrated store to begin with: making one takes seconds."""
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = self.folder / "mlflow.db"
        if not self.database.exists():
            shutil.copy(self.template, self.database)
        self.start()

    def start(self, patience: float = 120) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        until = time.monotonic() + patience
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < until, "the MLflow server does not answer"
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self) -> None:
        """As a crash does: nothing is said good-bye to."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def uri_with_password(self) -> str:
        return f"http://alice:{PASSWORD}@127.0.0.1:{self.port}"
