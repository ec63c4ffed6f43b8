"""The pictures of these pages: the HTML report, and `bench ui` on a free port, photographed with headless Chromium.

    python docs/screenshots.py --tracking-uri sqlite:///mlruns/mlflow.db

Chromium is driven over a pipe, so this needs nothing but the browser. Nothing leaves the machine: both ends are on
loopback.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retable.bench.store import reading
from retable.bench.store.interface import comparison
from retable.bench.store.places import experiment_name, locate
from retable.bench.suite import loader

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
QUIET = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
"""MLflow opens its assistant on the first visit, which a visitor closes; the pictures are of what is seen then."""

TIDY = """
for (const bar of document.querySelectorAll(".modebar-container")) bar.style.display = "none";
for (const words of document.querySelectorAll("div, span"))
  if (words.children.length <= 2 && words.innerText.startsWith("Path: /")) words.style.visibility = "hidden";
"""


class Browser:
    """Headless Chromium, spoken to over its debugging pipe: JSON messages that end in a zero byte."""

    def __init__(self, program: str, profile: str):
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()
        shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        command = [program, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.rest = 0, b""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.page = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable", self.page)
        self.ask("Page.addScriptToEvaluateOnNewDocument", self.page, source=QUIET)

    def ask(self, method: str, page: str = "", **params: Any) -> dict[str, Any]:
        """Send a command; its result. Raises RuntimeError where Chromium refuses it or is gone."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": page} if page else {})
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            data = os.read(self.into, 1 << 20)
            if not data:
                raise RuntimeError("Chromium ended; is another one using its profile?")
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return dict(json.loads(message))

    def text(self) -> str:
        """What the page says now."""
        found = self.ask("Runtime.evaluate", self.page, expression="document.body ? document.body.innerText : ''")
        return str(found["result"].get("value", ""))

    def tidy(self) -> None:
        """Hide what a page shows of this machine alone, and chart tools that otherwise show under a pointer only."""
        self.ask("Runtime.evaluate", self.page, expression=TIDY)

    def shoot(self, url: str, path: Path, *, width: int, height: int, until: str, settle: float = 4.0) -> None:
        """A PNG of a page once it says `until`, and `settle` seconds later. Raises TimeoutError after five minutes."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", self.page, **size)
        self.ask("Page.navigate", self.page, url="about:blank")
        self.ask("Page.navigate", self.page, url=url)
        end = time.monotonic() + 300
        while until not in self.text():
            if time.monotonic() > end:
                raise TimeoutError(f"{url} never said '{until}'")
            time.sleep(0.5)
        time.sleep(settle)
        self.tidy()
        picture = self.ask("Page.captureScreenshot", self.page, format="png")["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        try:
            self.ask("Browser.close")
        except (RuntimeError, BrokenPipeError):
            self.process.kill()
        self.process.wait(20)


@contextmanager
def serve(tracking: str) -> Iterator[str]:
    """`bench ui` on a free loopback port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "retable", "ui", "--port", str(port), "--tracking-uri", tracking]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None:
                    raise RuntimeError(f"bench ui ended with exit code {process.returncode}") from None
                time.sleep(0.5)
        else:
            raise TimeoutError("bench ui did not answer within five minutes")
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def main() -> None:
    """Photograph a suite's report, the comparison page of an experiment, and the page of one of its runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--suite", default="optimizers")
    parser.add_argument("--experiment", default="defaults")
    parser.add_argument("--run", default="adam seed=0", help="name of the run whose page is shown")
    parser.add_argument("--artifact", default="images/stylised.png", help="picture of that run")
    parser.add_argument("--tracking-uri")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    chosen = parser.parse_args()
    program = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if program is None:
        sys.exit("no Chromium on PATH: install chromium, or google-chrome")
    file = loader.load(chosen.suite)
    tracking = locate(file.project, chosen.tracking_uri).tracking
    name = experiment_name(file.suite.suite, chosen.experiment)
    runs = [r for r in reading.runs(tracking, [name]) if r.name == chosen.run and r.status == "FINISHED"]
    if not runs:
        sys.exit(f"no finished run '{chosen.run}' of {name} in {tracking}: bench run {file.suite.suite}")
    group = reading.experiments(tracking)[name]
    shown = chosen.artifact.rpartition("/")[2]
    chosen.out.mkdir(parents=True, exist_ok=True)
    with serve(tracking) as address, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "retable", "report", str(file.path), "--format", "html", "-o", folder]
        report = subprocess.run([*command, "--tracking-uri", tracking], stdout=subprocess.PIPE, text=True, check=True)
        browser = Browser(program, f"{folder}/profile")
        try:
            top = chosen.out / "report.png"
            at = Path(report.stdout.strip()).as_uri()
            browser.shoot(at, top, width=1280, height=1120, until=file.suite.paper.title)
            page, kind = f"{address}/#/experiments/{group.id}/runs/{runs[-1].id}", "?workflowType=machine_learning"
            many, one = chosen.out / "comparison.png", chosen.out / "run.png"
            pictures = chosen.out / "artifacts.png"
            browser.shoot(comparison(address, group), many, width=1600, height=900, until=chosen.run)
            browser.shoot(page + kind, one, width=1600, height=900, until="retable.torch")
            browser.shoot(f"{page}/artifacts/{chosen.artifact}{kind}", pictures, width=1600, height=700, until=shown)
        finally:
            browser.close()
    for path in (top, many, one, pictures):
        print(path)


if __name__ == "__main__":
    main()
