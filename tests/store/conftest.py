"""A real tracking server, once for all tests of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import MlflowServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path_factory.mktemp("server"), empty_store)
    yield made
    made.stop()
