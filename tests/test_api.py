"""The public surface: what users may rely on, what importing it costs, and that a run leaves the process as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import retable
from retable.bench import api

PUBLIC = {
    *("load_suite", "run", "results", "report"),
    *("SuiteFile", "Trial", "Status", "RunResult", "Results"),
    *("RunOptions", "Share", "Progress", "events"),
    *("RetableError", "SuiteError", "PlanError", "RunError", "StoreError", "DataError", "ReportError"),
}


def script(text: str) -> str:
    """What a user's script prints, run in the working directory."""
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_public_names_are_these() -> None:
    assert set(retable.__all__) == PUBLIC == set(dir(retable)) and len(retable.__all__) == len(PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        _ = retable.runs


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_says_what_it_is(name: str) -> None:
    about = getattr(retable, name).__doc__
    assert about and not about.startswith(f"{name}("), name  # not the one that a dataclass makes of its fields


@pytest.mark.parametrize("name", sorted(name for name in PUBLIC if name.endswith("Error")))
def test_one_base_catches_every_error(name: str) -> None:
    assert issubclass(getattr(retable, name), retable.RetableError)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (retable.SuiteError, ValueError),
        (retable.PlanError, ValueError),
        (retable.ReportError, ValueError),
        (retable.RunError, RuntimeError),
        (retable.StoreError, RuntimeError),
        (retable.DataError, RuntimeError),
    ],
)
def test_an_error_is_still_what_it_was(error: type[Exception], base: type[Exception]) -> None:
    assert issubclass(error, base)


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ("torch", "mlflow", "optuna", "matplotlib", "pandas", "numpy", "pydantic", "rich")
    assert script(f"import retable, sys; print(sorted(set({heavy!r}) & set(sys.modules)))") == "[]\n"


def test_a_result_says_what_failed() -> None:
    trial = retable.Trial("a", "s", "quick", "e", "t", {}, {}, 0)
    done, failed = retable.Status("diverged", False, None), retable.Status("failed", False, None, "no")
    assert api.RunResult(True, ((trial, done),)).ok
    assert not api.RunResult(False, ((trial, done),)).ok
    mixed = api.RunResult(True, ((trial, done), (trial, failed)))
    assert mixed.failed == ((trial, failed),) and not mixed.ok


STOPPED_IN_A_THREAD = """
import os, signal, threading
import retable
from retable.bench.store import patience


class Hearing:
    def __init__(self):
        self.ticked = threading.Event()
        self.calls = []

    def begin(self, todo, cached, workers):
        self.calls.append(("begin", todo, cached, workers))

    def event(self, trial, event):
        self.calls.append(type(event))
        if isinstance(event, retable.events.Tick):
            self.ticked.set()

    def note(self, text): ...

    def end(self):
        self.calls.append("end")


def of_the_process():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), dict(os.environ), patience.limit()


def run(hearing, stop):
    found = []
    what = {"scale": "long", "where": "experiment=grid,method=plain,lr=0.1,seed=0"}
    options = retable.RunOptions(workers=1)
    work = lambda: found.append(retable.run("toy", **what, options=options, progress=hearing, stop=stop))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


before = of_the_process()
first = Hearing()
stopped = run(first, first.ticked.is_set)
assert not stopped.finished and not stopped.ok and len(stopped.failed) == 1, stopped
assert first.calls[0] == ("begin", 1, 0, 1) and first.calls[-1] == "end", first.calls
assert retable.events.Stopped in first.calls and retable.events.Done not in first.calls, first.calls
second = Hearing()
gone_on = run(second, lambda: False)
assert gone_on.finished and gone_on.ok and not gone_on.failed, gone_on
((trial, status),) = gone_on.trials
assert "at step" in status.run.tags["retable.resumed"], status.run.tags
assert retable.events.Done in second.calls
changed = [(b, a) for b, a in zip(before, of_the_process()) if b != a]
assert not changed, changed
"""


def test_a_run_in_a_thread_can_be_stopped_and_goes_on_and_leaves_the_process_as_it_was(project: Path) -> None:
    script(STOPPED_IN_A_THREAD)


IN_A_LOOP = """
import asyncio
import retable

where = "experiment=grid,method=plain,lr=0.1,seed=0"


async def notebook():
    here = retable.run("toy", where=where, options=retable.RunOptions(workers=1))
    beside = await asyncio.to_thread(retable.run, "toy", where=where)
    return here, beside


here, beside = asyncio.run(notebook())
assert here.ok and beside.ok and [s.state for _, s in here.trials + beside.trials] == ["finished"] * 2
"""


def test_a_run_works_inside_a_running_event_loop(project: Path) -> None:
    script(IN_A_LOOP)


def test_an_opened_suite_may_be_given_wherever_its_name_may(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script(
        "import retable\n"
        "file = retable.load_suite('toy')\n"
        "assert len(retable.results(file).trials) == len(retable.results('toy').trials) == 17\n"
        "assert retable.report(file) is None\n"
    )
