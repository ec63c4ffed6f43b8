"""`bench run` through its front door: everything once, whatever is killed, and the truth about what failed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import speed
from running import Ran, command, curve, finished, statuses

Bench = Callable[..., Ran]
RUN = ("run", "toy", "--no-report", "--workers", "2")
LONG = (*RUN, "--scale", "long", "--where", "lr=0.1|0.01,experiment=grid", "--checkpoint-every", "0.3")


def ids(bench: Bench, *args: str) -> set[str]:
    return {t["id"] for t in bench("plan", "toy", "--json", *args).json["trials"]}


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    import psutil

    try:
        return [c.pid for c in psutil.Process(pid).children(recursive=True) if "run.worker" in " ".join(c.cmdline())]
    except psutil.Error:
        return []


def test_every_trial_runs_once_and_a_second_run_does_nothing(project: Path, bench: Bench) -> None:
    first = bench(*RUN)
    assert first.code == 0, first.err
    done = finished(project)
    assert set(done) == ids(bench) and all(len(runs) == 1 for runs in done.values())
    second = bench(*RUN)
    assert second.code == 0 and "0 trials to run, 17 done already" in second.err
    assert finished(project) == done


def test_a_failing_trial_stops_nobody_and_says_so(project: Path, bench: Bench) -> None:
    suite = project / "suites" / "toy.yaml"
    suite.write_text(
        suite.read_text().replace(
            "    from: {experiment: grid, where: {method: plain, lr: 0.1}}\n",
            '      fail_at: {value: 5, source: "assumed: to fail"}\n'
            "    from: {experiment: grid, where: {method: plain, lr: 0.1}}\n",
        )
    )
    ran = bench(*RUN)
    assert ran.code == 3
    assert "the toy was told to fail (tasks.py:" in ran.err
    assert len(finished(project)) == 16 and statuses(project).count("FAILED") == 1
    shown = bench("status", "toy", "--json").json[0]["experiments"]
    assert [r["failed"] for r in shown] == [0, 1]
    again = bench(*RUN)  # what failed is tried again, and only that
    assert again.code == 3 and "1 trials to run, 16 done already" in again.err


def test_a_diverging_trial_is_a_result_with_its_step(project: Path, bench: Bench) -> None:
    suite = project / "suites" / "toy.yaml"
    suite.write_text(suite.read_text().replace("[0.5, 0.1, 0.01, 0.001]", "[1000, 0.1, 0.01, 0.001]"))
    ran = bench(*RUN, "--where", "experiment=grid,method=plain,seed=0,lr=1000")
    assert ran.code == 0, ran.err
    assert "diverged: loss/total grew from" in ran.err and "at step 2" in ran.err
    assert bench("status", "toy", "--json").json[0]["experiments"][0]["diverged"] == 1


def test_a_collapsed_trial_is_a_result_that_is_shown_and_held_but_never_chosen(project: Path, bench: Bench) -> None:
    where = ("--where", "experiment=grid,method=plain,seed=0,lr=0.1|0.01")
    ran = bench(*RUN, *where, "--set", "collapsed=all the same")
    assert ran.code == 0, ran.err
    assert ran.err.count(": collapsed: all the same") == 2
    done = finished(project)
    assert set(statuses(project)) == {"FINISHED"} and len(done) == 2
    grid = ("--set", "collapsed=all the same")
    assert bench("status", "toy", *grid, "--json").json[0]["experiments"][0]["collapsed"] == 2
    again = bench(*RUN, *where, *grid)
    assert "0 trials to run, 2 done already" in again.err

    path = project / "baseline.json"
    assert bench("check", "toy", *where, *grid, "--baseline", str(path), "--update").code == 0
    held = bench("check", "toy", *where, *grid, "--baseline", str(path))
    assert held.code == 0 and "loss/final" in path.read_text() and "collapsed" in path.read_text()
    assert bench("report", "toy", *grid).code == 0
    text = (project / "reports" / "toy" / "quick.md").read_text()
    assert "collapsed: all the same" in text and "figure1" in text


def test_a_worker_killed_in_every_trial_is_given_up_after_some_tries(project: Path, bench: Bench) -> None:
    ran = bench(*RUN, "--where", "experiment=grid,method=plain,seed=0,lr=0.1", "--set", "kill_at=3")
    assert ran.code == 3
    assert "its worker died: SIGKILL" in ran.err
    assert sorted(set(statuses(project))) == ["FAILED", "KILLED"] and len(statuses(project)) == 6


def test_kill_9_of_workers_loses_and_repeats_nothing(project: Path, bench: Bench) -> None:
    process = command(*LONG)
    dice = random.Random(7)
    for _ in range(3):
        wait_for(lambda: len(children(process.pid)) >= 1 and "RUNNING" in statuses(project))
        time.sleep(0.3 + dice.random())
        victims = children(process.pid)
        if victims:
            os.kill(dice.choice(victims), signal.SIGKILL)
        time.sleep(0.5)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    done = finished(project)
    assert set(done) == ids(bench, "--scale", "long", "--where", "lr=0.1|0.01,experiment=grid")
    assert all(len(runs) == 1 for runs in done.values())
    assert "RUNNING" not in statuses(project)
    assert "a worker died (SIGKILL)" in err


def test_kill_9_of_the_whole_command_then_the_same_again_equals_an_undisturbed_run(project: Path, bench: Bench) -> None:
    for pause in (2.5, 3.5):
        process = command(*LONG)
        wait_for(lambda p=process: "RUNNING" in statuses(project) or p.poll() is not None)
        time.sleep(pause)
        process.kill()
        process.communicate()
    wait_for(
        lambda: not any("retable.bench.run.worker" in line for line in _processes()), 20
    )  # workers follow their supervisor
    last = bench(*LONG)
    assert last.code == 0, last.err
    done = finished(project)
    assert all(len(runs) == 1 for runs in done.values()) and "RUNNING" not in statuses(project)
    curves = {trial: curve(project, runs[0]) for trial, runs in done.items()}
    resumed = _tags(project, "retable.resumed")
    assert resumed, "no trial went on from a checkpoint: the kills came too early to test anything"

    calm = project.parent / "calm"
    calm.mkdir()
    stores = ("--tracking-uri", f"sqlite:///{calm / 'mlruns' / 'mlflow.db'}")
    undisturbed = bench(*LONG, *stores, "--storage", f"sqlite:///{calm / 'mlruns' / 'optuna.db'}")
    assert undisturbed.code == 0, undisturbed.err
    expected = {trial: curve(calm, runs[0]) for trial, runs in finished(calm).items()}
    assert curves == expected  # no trial lost, no gap, no repeat, and every loss equal to the bit


def _processes() -> list[str]:
    import psutil

    here = [p for p in psutil.process_iter(["cmdline", "cwd"]) if p.info["cwd"] == str(Path.cwd())]
    return [" ".join(process.info["cmdline"] or ()) for process in here]


def _tags(folder: Path, key: str) -> list[str]:
    import sqlite3

    connection = sqlite3.connect(folder / "mlruns" / "mlflow.db")
    found = [row[0] for row in connection.execute("SELECT value FROM tags WHERE key = ?", (key,))]
    connection.close()
    return found


def test_ctrl_c_leaves_checkpoints_and_says_how_to_go_on(project: Path, bench: Bench) -> None:
    process = command(*LONG)
    wait_for(lambda: "RUNNING" in statuses(project))
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in err
    assert "RUNNING" not in statuses(project)
    assert _tags(project, "retable.checkpoint")
    last = bench(*LONG)
    assert last.code == 0, last.err
    assert all(len(runs) == 1 for runs in finished(project).values())
    assert _tags(project, "retable.resumed")


def test_ctrl_c_twice_ends_at_once(project: Path) -> None:
    process = command(*LONG[:-2], "--set", "pause=40")  # the first one waits for the step
    wait_for(lambda: "RUNNING" in statuses(project))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    wait_for(lambda: process.stderr.readline().startswith("stopping: running trials write a checkpoint"))
    again = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and time.monotonic() - again < 20
    wait_for(lambda: not any("retable.bench.run.worker" in line for line in _processes()), 10)
    assert set(statuses(project)) == {"KILLED"}


def test_two_commands_at_once_share_the_work(project: Path, bench: Bench) -> None:
    both = [command(*RUN), command(*RUN)]
    errors = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    done = finished(project)
    assert set(done) == ids(bench) and all(len(runs) == 1 for runs in done.values())
    assert "RUNNING" not in statuses(project)


@pytest.mark.parametrize(
    ("edit", "stale"),
    [
        (("FACTOR = 0.5", "FACTOR = 0.25"), True),
        (("# half the squared norm", "# one half of the squared norm"), False),
        (('"""A helper of the toy tasks, two imports away from the suite."""', '"""Other words."""'), False),
    ],
    ids=["a constant of a helper", "a comment", "a docstring"],
)
def test_an_edit_makes_trials_stale_if_it_can_change_results(
    project: Path, bench: Bench, edit: tuple[str, str], stale: bool
) -> None:
    assert bench(*RUN, "--only", "grid", "--seeds", "1").code == 0
    helper = project / "toypaper" / "helper.py"
    before = helper.read_text()
    assert edit[0] in before
    helper.write_text(before.replace(*edit))
    states = {t["state"] for t in bench("plan", "toy", "--only", "grid", "--seeds", "1", "--json").json["trials"]}
    assert states == ({"stale"} if stale else {"finished"})
    trial = next(iter(finished(project)))
    said = bench("why", "toy", trial, "--seeds", "1", "--json").json
    if not stale:
        assert said["state"] == "finished"
        return
    assert said["because"] == ["toypaper.helper: FACTOR changed"]
    kept = bench(*RUN, "--only", "grid", "--seeds", "1")
    assert "0 trials to run" in kept.err  # stale is said, not run, until asked for
    assert bench(*RUN, "--only", "grid", "--seeds", "1", "--stale").code == 0
    assert {len(runs) for runs in finished(project).values()} == {2}
    states = {t["state"] for t in bench("plan", "toy", "--only", "grid", "--seeds", "1", "--json").json["trials"]}
    assert states == {"finished"}


def test_a_trial_starts_from_the_state_of_another(project: Path, bench: Bench) -> None:
    assert bench(*RUN, "--only", "tune").code == 0  # brings the trial that it starts from along
    plan = bench("plan", "toy", "--json").json["trials"]
    tuned = next(t for t in plan if t["experiment"] == "tune")
    assert tuned["state"] == "finished"
    shown = bench("show", "toy", tuned["id"], "--json").json
    source = bench("show", "toy", shown["starts_from"], "--json").json
    first = curve(project, shown["run"])[0][1]
    assert first == pytest.approx(source["metrics"]["loss/final"], rel=1e-6)


def test_a_zeroed_model_is_made_again_by_the_command_that_its_dependant_names(project: Path, bench: Bench) -> None:
    maker, tune = ("--where", "experiment=grid,lr=0.1,method=plain,seed=0"), ("--where", "experiment=tune,seed=0")
    assert bench("run", "toy", *maker, "--workers", "1", "--no-report").code == 0
    ((trial, (run,)),) = finished(project).items()
    model = project / "mlruns" / "artifacts" / "toy" / "grid" / run / "artifacts" / "model.pt"
    whole = model.read_bytes()
    model.write_bytes(bytes(len(whole)))
    ran = bench("run", "toy", *tune, "--workers", "1", "--no-report")
    assert ran.code == 3 and f"its start, trial {trial}, is to be run again" in ran.err
    assert f"model.pt of run {run} is not as it was written" in ran.err
    assert "`bench run toy --scale quick` does that" in ran.err
    assert finished(project) == {}
    assert bench("run", "toy", *tune, "--workers", "1", "--no-report").code == 0
    (again,) = finished(project)[trial]
    assert again != run and len(finished(project)) == 2
    assert (model.parents[2] / again / "artifacts" / "model.pt").read_bytes() == whole


def test_what_the_evaluation_measures_is_what_counts(project: Path, bench: Bench) -> None:
    """Also where steps measure the same, higher, at the same last step."""
    code = project / "toypaper" / "tasks.py"
    code.write_text(code.read_text().replace('{"loss/final": final}', '{"loss/final": final, "loss/total": final - 9}'))
    assert bench(*RUN, "--where", "method=plain,lr=0.1,seed=0,experiment=grid").code == 0
    (trial,) = finished(project)
    found = bench("show", "toy", trial, "--json").json["metrics"]
    assert found["loss/total"] == pytest.approx(found["loss/final"] - 9)


def test_runs_are_logged_as_mlflow_shows_them(project: Path, bench: Bench) -> None:
    assert bench(*RUN, "--where", "method=momentum,lr=0.1,seed=1").code == 0
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy/grid")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "momentum lr=0.1 seed=1" and run.info.status == "FINISHED"
    assert run.data.params["lr"] == "0.1" and run.data.params["scale"] == "quick"
    assert {"loss/total", "loss/final", "time/train", "memory/peak"} <= set(run.data.metrics)
    assert run.data.tags["retable.device"] == "cpu" and "retable.torch" in run.data.tags
    assert len(client.get_metric_history(run.info.run_id, "loss/total")) == 20
    files = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert files == {"images", "arrays", "model.pt", "trial.json", "code.json", "digests.json"}
    assert json.loads((Path(run.info.artifact_uri) / "trial.json").read_text())["settings"]["method"] == "momentum"


def test_logging_is_a_small_share_of_a_trial(project: Path, bench: Bench) -> None:
    assert bench(*RUN, "--where", "method=plain,lr=0.1,seed=0,experiment=grid", "--set", "pause=0.6").code == 0
    (trial,) = finished(project)
    shown = bench("show", "toy", trial, "--set", "pause=0.6", "--json").json
    speed.at_most(shown["metrics"]["time/logging"], 1.0)  # per cent of 12 s
