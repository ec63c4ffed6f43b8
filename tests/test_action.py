"""The GitHub Action: its steps are run as a runner would, against a small server in the place of GitHub's API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@dataclass
class GitHub:
    """A pull request's comments, and what was asked of them. `refuses`: with the status that says so."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    refuses: int = 0
    url: str = ""


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Api(BaseHTTPRequestHandler):
        def answer(self) -> None:
            state.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
            found: Any = {}
            if self.command == "GET" and self.path.startswith("/repos/us/it/issues/7/comments?per_page=100&page="):
                page = int(self.path.rpartition("=")[2])
                found = state.comments[100 * (page - 1) : 100 * page]
            elif self.command == "POST" and self.path == "/repos/us/it/issues/7/comments":
                state.comments.append({"id": 1000 + len(state.comments), **body})
            elif self.command == "PATCH" and self.path.startswith("/repos/us/it/issues/comments/"):
                (mine,) = (c for c in state.comments if c["id"] == int(self.path.rpartition("/")[2]))
                mine.update(body)
            else:
                self.send_error(404)
                return
            if state.refuses and self.command != "GET":
                state.comments = [c for c in state.comments if c["id"] < 1000]
                self.send_error(state.refuses)
                return
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Job:
    code: int
    summary: str
    log: str
    outputs: dict[str, str]


def job(folder: Path, github: GitHub, *, event: dict[str, Any] | None = None, **given: str) -> Job:
    """Run the action's steps in `folder` as a runner would, with these inputs (`tracking_uri` for `tracking-uri`)."""
    inputs = {name: str(about.get("default", "")) for name, about in ACTION["inputs"].items()}
    inputs |= {"install": "none"} | {name.replace("_", "-"): value for name, value in given.items()}
    assert inputs.keys() == ACTION["inputs"].keys()
    temp = folder / "temp"
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir()
    (temp / "event.json").write_text(json.dumps({"pull_request": {"number": 7}} if event is None else event))
    base = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(temp),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "us/it",
        "GITHUB_EVENT_PATH": str(temp / "event.json"),
        "GITHUB_STEP_SUMMARY": str(temp / "summary.md"),
    }
    outputs: dict[str, dict[str, str]] = {}
    code, log = 0, ""
    for number, step in enumerate(ACTION["runs"]["steps"]):
        assert step["shell"] == "bash" and "${{" not in step["run"]  # inputs reach a script as variables alone
        told = temp / f"output-{number}"
        told.touch()

        def value(found: re.Match[str]) -> str:
            where, name = found[1].split(".", 1)
            return inputs[name] if where == "inputs" else outputs[name.split(".")[0]][name.split(".")[2]]

        own = {k: re.sub(r"\$\{\{ ([\w.-]+) \}\}", value, v) for k, v in step.get("env", {}).items()}
        script = temp / f"step-{number}.sh"
        script.write_text(step["run"])
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=folder, env={**base, **own, "GITHUB_OUTPUT": str(told)}, text=True, capture_output=True, timeout=240,
        )  # fmt: skip
        log += ran.stdout + ran.stderr
        if "id" in step:
            outputs[step["id"]] = dict(line.split("=", 1) for line in told.read_text().splitlines())
        if ran.returncode and not step.get("continue-on-error"):
            code = ran.returncode
            break
    summary = temp / "summary.md"
    return Job(code, summary.read_text() if summary.exists() else "", log, outputs.get("check", {}))


TRAIN = """
import sys, mlflow
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
mlflow.set_experiment("nightly")
with mlflow.start_run():
    mlflow.log_params({"lr": 0.1, "model": "a small one"})
    for step in range(20):
        mlflow.log_metric("loss/total", float(sys.argv[1]) / (step + 1), step=step)
"""
RUNS = {"runs": "nightly", "tracking_uri": "sqlite:///mlruns/mlflow.db", "baseline": "losses.json"}


def train(loss: str) -> None:
    subprocess.run([sys.executable, "-c", TRAIN, loss], check=True, capture_output=True)


def test_one_comment_is_written_and_then_edited(project: Path, github: GitHub) -> None:
    github.comments = [{"id": i, "body": f"comment {i}"} for i in range(100)]
    train("1.0")
    update = job(project, github, **RUNS, args="--update --where 'model=a small*'")
    assert update.code == 0 and not github.asked  # no token, no comment

    held = job(project, github, **RUNS, match="lr model", metric="loss/total", token="s3cret", junit="check.xml")
    assert held.code == 0 and held.outputs == {"code": "0"} and (project / "check.xml").is_file()
    assert held.summary.startswith("## bench check\n\n**5 numbers held, 0 moved**") and "5 numbers held" in held.log
    assert [what for what, _, _ in github.asked] == ["GET", "GET", "POST"]
    assert {token for _, _, token in github.asked} == {"Bearer s3cret"} and "s3cret" not in held.log
    assert "**5 numbers held, 0 moved**" in github.comments[100]["body"] and len(github.comments) == 101

    github.asked.clear()
    train("1.05")
    moved = job(project, github, **RUNS, token="s3cret")
    assert moved.code == 1 and moved.outputs == {"code": "1"} and moved.summary.count("| moved |") == 5
    assert [what for what, _, _ in github.asked] == ["GET", "GET", "PATCH"] and len(github.comments) == 101
    assert github.comments[100]["body"].count("| moved |") == 5

    other = job(project, github, **RUNS, token="s3cret", title="another gate")
    assert other.code == 1 and len(github.comments) == 102
    assert github.comments[101]["body"].startswith(
        "<!-- bench check: another gate -->\n### another gate\n\n**5 numbers"
    )


def test_what_cannot_be_compared_is_said_in_the_summary(project: Path, github: GitHub) -> None:
    nothing = job(project, github, suite="toy", token="s3cret")
    assert nothing.code == 4 and "exit code 4\n\n    no baseline at" in nothing.summary
    assert "no baseline at" in github.comments[0]["body"]
    wrong = job(project, github, runs="nightly", suite="toy")
    assert wrong.code == 2 and "name a SUITE, or with --runs" in wrong.summary


def test_a_comment_that_may_not_be_written_decides_nothing(project: Path, github: GitHub) -> None:
    github.refuses = 403
    ran = job(project, github, suite="toy", token="s3cret")
    assert ran.code == 4 and "403" in ran.log and github.comments == []
    github.asked.clear()
    assert job(project, github, suite="toy", token="s3cret", event={"ref": "main"}).code == 4 and not github.asked


def test_it_installs_what_it_is_told_to(project: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = project / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("tiny.py", "")
        made.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        made.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_TARGET", str(project / "installed"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    job(project, github, suite="toy", install=str(wheel))
    assert (project / "installed" / "tiny.py").is_file()


def test_every_input_is_described_and_used() -> None:
    steps = yaml.safe_dump(ACTION["runs"]["steps"])
    for name, about in ACTION["inputs"].items():
        assert about["description"] and f"inputs.{name} " in steps
    assert ACTION["runs"]["using"] == "composite"
