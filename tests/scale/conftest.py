"""PostgreSQL and an MLflow server, once for all tests here, and machines that share nothing but those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Machine
from servers import MlflowServer, Postgres, postgres_programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    if postgres_programs() is None:
        pytest.skip("needs PostgreSQL's server programs: pip install pgserver, or apt-get install postgresql")
    server = Postgres()
    yield server
    server.end()


@pytest.fixture(scope="session")
def shared_mlflow(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), empty_store)
    yield server
    server.stop()


@pytest.fixture
def machines(
    tmp_path: Path, postgres: Postgres, shared_mlflow: MlflowServer, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Machine]]:
    """Make a machine; all of one test share a queue of their own, and the suite name tells their results apart."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**8}"
    storage = postgres.fresh(name)
    made: list[Machine] = []

    def make(label: str, *, password: bool = False) -> Machine:
        uri = shared_mlflow.uri_with_password if password else shared_mlflow.uri
        machine = Machine(tmp_path / label, uri, storage, name)
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.end()
