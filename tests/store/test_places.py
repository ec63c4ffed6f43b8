"""Which stores a run uses: every kind of URL, from the command line, the environment, or the project's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import make_url

from retable.bench.store.places import StoreError, Stores, experiment_name, locate


def test_a_project_has_files_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns"
    urls = (f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db")
    assert locate(tmp_path) == Stores(*urls, folder / "artifacts", folder)


def test_the_command_line_counts_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://env:5000")
    monkeypatch.setenv("RETABLE_STORAGE", f"sqlite:///{tmp_path}/env.db")
    found = locate(tmp_path)
    assert (found.tracking, found.storage) == ("http://env:5000", f"sqlite:///{tmp_path}/env.db")
    found = locate(tmp_path, "http://line:5000", f"sqlite:///{tmp_path}/line.db")
    assert (found.tracking, found.storage) == ("http://line:5000", f"sqlite:///{tmp_path}/line.db")
    assert found.artifacts is None and found.folder == tmp_path / "mlruns"


def test_files_lie_beside_an_sqlite_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    found = locate(tmp_path / "project", f"sqlite:///{elsewhere}/results.db")
    assert (found.folder, found.artifacts) == (elsewhere, elsewhere / "artifacts")
    monkeypatch.chdir(tmp_path)
    assert locate(tmp_path / "project", "sqlite:///here.db").folder == tmp_path


@pytest.mark.parametrize("written", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_means_psycopg_3(tmp_path: Path, written: str) -> None:
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    found = locate(tmp_path, f"{written}://me@h/results", f"{written}://h:5433/queue?sslmode=require")
    assert found.tracking == "postgresql+psycopg://me@h/results"
    assert found.storage == "postgresql+psycopg://h:5433/queue?sslmode=require"
    assert found.artifacts == tmp_path / "mlruns" / "artifacts"  # a database keeps none


def test_another_driver_is_the_users_choice(tmp_path: Path) -> None:
    assert locate(tmp_path, None, "postgresql+psycopg2://u:p@h/db").storage == "postgresql+psycopg2://u:p@h/db"


@pytest.mark.parametrize("password", ["plain", "pa/ss", "p w", "a:b", "50%", "%2F", "a?b#c", "+", "ü", "[x]", ""])
def test_a_database_is_asked_with_the_password_that_was_written(tmp_path: Path, password: str) -> None:
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    written = f"postgresql+psycopg://me:{password}@h:5433/db?sslmode=require"
    url = locate(tmp_path, None, written).storage
    assert make_url(url) == make_url(written)
    assert not set("/ ?#[") & set(url.removeprefix("postgresql+psycopg://").partition("@")[0])
    assert locate(tmp_path, None, url).storage == url


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://h:5000", "http://h:5000"),
        ("https://h/base/", "https://h/base/"),
        ("http://alice:pa55@h:5000", "http://alice:pa55@h:5000"),
        ("http://alice:p@ss w%2Ford@h", "http://alice:p%40ss%20w%2Ford@h"),
        ("http://alice@h", "http://alice@h"),
        ("http://:tok@h", "http://:tok@h"),
        ("http://@h:1", "http://h:1"),
    ],
)
def test_a_servers_address_bears_its_credentials(tmp_path: Path, written: str, kept: str) -> None:
    before = dict(os.environ)
    found = locate(tmp_path, written)
    assert (found.tracking, found.artifacts) == (kept, None)
    assert locate(tmp_path, kept).tracking == kept and dict(os.environ) == before


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "names no host"),
        ("http://:5000", "names no host"),
        ("http://h:port", "is no URL"),
        ("http://h:99999", "is no URL"),
        ("http://[::1", "is no URL"),
        ("mysql://h/db", "write sqlite:///FILE or postgresql://USER@HOST/DATABASE or http"),
        ("sqlite:///", "write sqlite:///FILE"),
        ("sqlite://x.db", "write sqlite:///FILE"),
        ("mlruns", "write sqlite:///FILE"),
        ("file:///a", "write sqlite:///FILE"),
    ],
)
def test_other_tracking_uris_are_refused(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as refused:
        locate(tmp_path, url)
    assert str(refused.value).startswith(f"tracking URI '{url}'")


@pytest.mark.parametrize("url", ["http://h:5000", "redis://h", "sqlite:///", "x"])
def test_a_queue_is_a_database(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match=r"^storage .*: write sqlite:///FILE or postgresql://USER@HOST/DATABASE$"):
        locate(tmp_path, None, url)


def test_an_mlflow_experiment_is_named_after_suite_and_experiment() -> None:
    assert experiment_name("optimizers", "grid") == "optimizers/grid"
