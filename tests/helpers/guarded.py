"""A door before a server, on loopback: who does not bring the right name and password stays outside."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote


@dataclass
class Door:
    """name, password: what it asks for. seen: the `Authorization` of each request, in order. asked: their paths."""

    name: str
    password: str
    port: int = 0
    seen: list[str | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def right(self) -> str:
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()

    @property
    def uri(self) -> str:
        return f"http://{quote(self.name, safe='')}:{quote(self.password, safe='')}@127.0.0.1:{self.port}"


@contextmanager
def guarded(behind: int, door: Door) -> Iterator[Door]:
    """Stand before the server on port `behind`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            door.seen.append(self.headers.get("Authorization"))
            door.asked.append(self.path)
            if door.seen[-1] != door.right:
                self.answer(401, b'{"error_code": "UNAUTHENTICATED", "message": "who are you?"}')
                return
            inner = http.client.HTTPConnection("127.0.0.1", behind, timeout=60)
            sent = {k: v for k, v in self.headers.items() if k.lower() not in ("authorization", "host", "connection")}
            inner.request(self.command, self.path, body, sent)
            answer = inner.getresponse()
            self.answer(answer.status, answer.read(), answer.headers.get("Content-Type", "application/json"))
            inner.close()

        def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    door.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
