"""Downloading from a server on this machine, which breaks off, refuses and lies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from retable.bench.data import DataError
from retable.bench.data.download import Remote, download

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Server:
    """url: of the one file. break_after: bytes per answer, after which the connection drops."""

    url: str
    ranges: bool = True
    break_after: int | None = None
    status: int = 200
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(CONTENT):
                self.send_error(416)
                return
            body = CONTENT[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.break_after])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{http.server_address[1]}/file.zip")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "file.zip"


def test_a_file_arrives_whole(server: Server, target: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    download(Remote(server.url, len(CONTENT), MD5), target, progress=lambda *step: seen.append(step))
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert seen[-1] == ("file.zip", len(CONTENT), len(CONTENT))


def test_what_is_there_is_not_fetched_again(server: Server, target: Path) -> None:
    download(Remote(server.url, len(CONTENT), MD5), target)
    download(Remote(server.url, len(CONTENT), MD5), target)
    assert len(server.asked) == 1


def test_a_broken_connection_is_resumed_within_one_call(server: Server, target: Path) -> None:
    server.break_after = 80_000
    download(Remote(server.url, len(CONTENT), MD5), target, attempts=2, pause_s=0)  # every attempt brings something
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=80000-", "bytes=160000-", "bytes=240000-"]


def test_a_killed_download_goes_on_where_it_was(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT[:123_456])
    download(Remote(server.url, len(CONTENT), MD5), target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["bytes=123456-"]


def test_a_complete_part_only_needs_its_name(server: Server, target: Path) -> None:
    target.parent.mkdir()
    for remote in (Remote(server.url, len(CONTENT), MD5), Remote(server.url)):
        target.unlink(missing_ok=True)
        target.with_name("file.zip.part").write_bytes(CONTENT)
        download(remote, target)
        assert target.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_server_without_ranges_starts_over(server: Server, target: Path) -> None:
    server.ranges = False
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(b"x" * 1000)
    download(Remote(server.url, len(CONTENT), MD5), target)
    assert target.read_bytes() == CONTENT


def test_giving_up_keeps_the_part_and_says_so(server: Server, target: Path) -> None:
    server.break_after = 0
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT[:10])
    with pytest.raises(DataError, match=r"10 bytes are kept in .*file\.zip\.part"):
        download(Remote(server.url, len(CONTENT), MD5), target, attempts=3, pause_s=0)
    assert len(server.asked) == 3
    assert not target.exists()


@pytest.mark.parametrize(("remote", "what"), [({"md5": "0" * 32}, "md5"), ({"sha256": "0" * 8}, "sha256")])
def test_wrong_content_is_deleted(server: Server, target: Path, remote: dict[str, str], what: str) -> None:
    with pytest.raises(DataError, match=f"{what} .*deleted"):
        download(Remote(server.url, **remote), target)
    assert not list(target.parent.iterdir())


def test_a_wrong_size_is_deleted(server: Server, target: Path) -> None:
    with pytest.raises(DataError, match=r"300000 bytes, not 299999"):
        download(Remote(server.url, len(CONTENT) - 1), target)
    assert not list(target.parent.iterdir())


def test_a_refusal_is_told_at_once_and_a_sick_server_is_tried_again(server: Server, target: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match="404"):
        download(Remote(server.url), target, pause_s=0)
    assert len(server.asked) == 1
    server.status = 503
    with pytest.raises(DataError, match="503"):
        download(Remote(server.url), target, attempts=3, pause_s=0)
    assert len(server.asked) == 4


def test_a_full_or_closed_disk_is_not_taken_for_the_network(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").mkdir()  # stands for any path that can't be written
    with pytest.raises(DataError, match="cannot write"):
        download(Remote(server.url), tmp_path / "file.zip", pause_s=0)
    assert len(server.asked) <= 1


def test_no_server_at_all(target: Path) -> None:
    with pytest.raises(DataError, match="refused"):
        download(Remote("http://127.0.0.1:9/file.zip"), target, attempts=2, pause_s=0)
