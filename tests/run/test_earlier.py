"""What earlier attempts left in MLflow, read from a real store: abandoned runs, checkpoints, final states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from retable.bench.queue import storage, study
from retable.bench.run import earlier, training
from retable.bench.run.orders import Orders
from retable.bench.store import owners, reading, records
from retable.bench.store.recorder import Recorder
from retable.bench.suite.plan import Trial
from retable.bench.suite.schema import Experiment

TRIAL = Trial("a", "toy", "quick", "grid", "descent", {"lr": 0.1, "method": "plain"}, {}, 0)
Record = Callable[..., Recorder]


class Counter:
    """A task that counts its steps."""

    steps = 10

    def __init__(self) -> None:
        self.count = torch.zeros(())

    def step(self, index: int) -> dict[str, torch.Tensor]:
        self.count += 1
        return {"loss/total": self.count.clone()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.count = state["count"].clone()


@pytest.fixture
def record(told: Orders) -> Record:
    """Begin a run of a trial, as an attempt does."""

    def begin(trial: Trial = TRIAL, **tags: str) -> Recorder:
        named = {"retable.trial": trial.id, **{f"retable.{key}": value for key, value in tags.items()}}
        return Recorder(told.stores, told.mlflow[trial.experiment], trial, named)

    return begin


def runs(told: Orders, experiment: str = "grid") -> list[records.Run]:
    return reading.runs(told.tracking, [f"toy/{experiment}"])


@pytest.fixture
def queue(told: Orders) -> study.Queue:
    made = study.create(storage.connect(told.storage), "s", Experiment(task="descent", about="x"))
    return study.Queue(made, {})


def claimed(queue: study.Queue) -> optuna.Trial:
    queue.enqueue(TRIAL, again=False)
    return queue.study.ask()


def gone() -> str:
    """An owner of this machine whose process number belongs to nobody that began then."""
    host, pid, _, *where = owners.owner().split(":")
    return ":".join([host, pid, "7", *where])


@pytest.mark.parametrize(
    ("owner", "given_up", "closed"),
    [("ours", False, False), ("gone", False, True), ("elsewhere", False, False), ("elsewhere", True, True)],
)
def test_a_run_is_closed_when_its_process_is_gone_or_its_trial_was_given_up(
    told: Orders, record: Record, queue: study.Queue, owner: str, given_up: bool, closed: bool
) -> None:
    names = {"ours": owners.owner(), "gone": gone(), "elsewhere": "another-machine:7:7"}
    number = claimed(queue).number
    record(owner=names[owner], optuna=f"s:{number}")
    if given_up:
        study.give_back(queue.study, [number])
    found = earlier.close_abandoned(told.tracking, runs(told), queue.study)
    assert len(found) == closed
    (run,) = runs(told)
    assert run.status == ("KILLED" if closed else "RUNNING")


def test_a_trial_of_the_same_number_in_another_study_says_nothing(
    told: Orders, record: Record, queue: study.Queue
) -> None:
    number = claimed(queue).number
    study.give_back(queue.study, [number])
    record(owner="another-machine:7:7", optuna=f"another study:{number}")
    assert earlier.close_abandoned(told.tracking, runs(told), queue.study) == []


def test_a_run_that_has_ended_is_left_as_it_is(told: Orders, record: Record, queue: study.Queue) -> None:
    record(owner=gone(), optuna="s:0").finish("FINISHED")
    assert earlier.close_abandoned(told.tracking, runs(told), queue.study) == []
    assert [run.status for run in runs(told)] == ["FINISHED"]


def test_only_attempts_at_the_same_point_of_a_search_serve(told: Orders, record: Record) -> None:
    for lr, method in ((0.1, "plain"), (0.2, "plain"), (0.1, "momentum")):
        record(replace(TRIAL, settings={"lr": lr, "method": method})).finish("KILLED")
    (run,) = earlier.of_same_point(told, runs(told), {"lr": 0.1, "method": "plain"})
    assert reading.params(told.tracking, [run.id])[run.id]["lr"] == "0.1"
    assert len(earlier.of_same_point(told, runs(told), {"lr": 0.1})) == 2
    assert earlier.of_same_point(told, runs(told), {"lr": 0.3}) == []


def test_a_trial_that_starts_from_nothing_has_no_start(told: Orders) -> None:
    assert earlier.start_state(told, TRIAL) is None


def test_a_trial_starts_from_the_newest_finished_run_of_its_start(told: Orders, record: Record) -> None:
    for value, status in ((1.0, "FINISHED"), (2.0, "FINISHED"), (3.0, "KILLED")):
        made = record()
        made.artifacts({"model.pt": training.to_bytes({"x": torch.tensor(value)})})
        made.finish(status)
    tuned = replace(TRIAL, id="b", experiment="tune", start="a")
    state = earlier.start_state(told, tuned)
    assert state is not None and float(state["x"]) == 2.0


def test_a_start_that_never_finished_is_an_error_that_names_it(told: Orders, record: Record) -> None:
    record().finish("KILLED")
    with pytest.raises(RuntimeError, match="its start, trial a, has no finished run; run that experiment first"):
        earlier.start_state(told, replace(TRIAL, id="b", experiment="tune", start="a"))


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: bytes(len(d)), lambda d: d[:-9], lambda d: b"soup" * 99])
def test_a_start_that_cannot_be_read_is_to_be_run_again(
    told: Orders, record: Record, damage: Callable[[bytes], bytes]
) -> None:
    made = record()
    made._store(
        {"model.pt": damage(training.to_bytes({"x": torch.tensor(1.0)}))}, wait=True
    )  # without a digest, as once
    made.finish("FINISHED")
    said = (
        f"its start, trial a, is to be run again, for model.pt of run {made.run_id} cannot be read; "
        "`bench run toy --scale quick` does that, and then runs this one"
    )
    with pytest.raises(RuntimeError) as caught:
        earlier.start_state(told, replace(TRIAL, id="b", experiment="tune", start="a"))
    assert str(caught.value) == said
    (run,) = runs(told)
    assert (run.status, run.tags["retable.reason"]) == ("KILLED", "its model.pt cannot be read")


def damaged(told: Orders, record: Record, damage: Callable[[Path], object]) -> str:
    """Why a trial cannot start from one whose artifacts were damaged after it had finished."""
    made = record()
    made.artifacts({"model.pt": training.to_bytes({"x": torch.tensor(1.0)})})
    made.finish("FINISHED")
    (run,) = runs(told)
    damage(Path(run.artifact_uri))
    with pytest.raises(RuntimeError) as caught:
        earlier.start_state(told, replace(TRIAL, id="b", experiment="tune", start="a"))
    (after,) = runs(told)
    assert after.status == "KILLED" and after.ended == run.ended
    return str(caught.value)


def test_a_model_of_other_content_is_noticed_though_it_can_be_read(told: Orders, record: Record) -> None:
    other = training.to_bytes({"x": torch.tensor(2.0)})
    said = damaged(told, record, lambda folder: (folder / "model.pt").write_bytes(other))
    assert "model.pt of run" in said and "is not as it was written" in said


def test_a_model_that_was_removed_is_to_be_made_again(told: Orders, record: Record) -> None:
    assert "is gone" in damaged(told, record, lambda folder: (folder / "model.pt").unlink())


def test_a_broken_list_of_digests_vouches_for_nothing(told: Orders, record: Record) -> None:
    said = damaged(told, record, lambda folder: (folder / "digests.json").write_text("{}"))
    assert "digests.json of run" in said and "is not as it was written" in said


def test_a_start_that_leaves_no_model_is_not_run_again_for_nothing(told: Orders, record: Record) -> None:
    made = record()
    made.artifacts({"trial.json": b"{}"})
    made.finish("FINISHED")
    with pytest.raises(FileNotFoundError, match=r"has no artifact 'model\.pt'"):
        earlier.start_state(told, replace(TRIAL, id="b", experiment="tune", start="a"))
    assert [run.status for run in runs(told)] == ["FINISHED"]


def checkpoint(made: Recorder, index: int, path: str) -> str:
    """Leave a checkpoint of a task that has taken so many steps; the line that its run's tag has of it."""
    task = Counter()
    history = [(step, 0.1 * step, {"loss/total": float(step)}) for step in range(1, index + 1)]
    for step in range(index):
        task.step(step)
    data = training.pack(task, training.Standing(index, 0.1 * index, {"loss/total": 1.0}, history))
    assert made.checkpoint(path, data, wait=True)
    return f"{path} {hashlib.sha256(data).hexdigest()} at step {index}"


@pytest.fixture
def left(record: Record) -> str:
    """A run that was killed with two checkpoints, at steps 4 and 2; its id."""
    made = record()
    lines = [checkpoint(made, 2, "checkpoint/a.pt"), checkpoint(made, 4, "checkpoint/b.pt")]
    made.tag(checkpoint="\n".join(reversed(lines)))
    made.finish("KILLED")
    return made.run_id


@pytest.mark.parametrize(
    ("torn", "step"), [((), 4), (("b",), 2), (("a",), 4), (("a", "b"), 0)], ids=["none", "newest", "older", "both"]
)
@pytest.mark.parametrize("how", ["cut short", "missing"])
def test_a_trial_goes_on_from_its_newest_sound_checkpoint(
    told: Orders, record: Record, left: str, torn: tuple[str, ...], step: int, how: str
) -> None:
    for name in torn:
        (file,) = Path(told.stores.artifacts or "").rglob(f"{left}/**/{name}.pt")
        if how == "missing":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:-1])
    made, notes = record(), list[str]()
    task, progress = earlier.resume(told, Counter, made, [run for run in runs(told) if run.id == left], notes.append)
    made.finish("KILLED")
    assert isinstance(task, Counter) and notes == []
    assert (progress.index if progress else 0) == step == float(task.count)
    (run,) = [run for run in runs(told) if run.id == made.run_id]
    assert run.tags.get("retable.resumed", "") == (f"run {left} at step {step}" if step else "")
    points = reading.curves(told.tracking, [made.run_id], "loss/total")
    assert sorted(at for _, at, _ in points) == list(range(1, step + 1))


def test_nothing_is_gone_on_from_where_nothing_was_left(told: Orders, record: Record) -> None:
    record().finish("KILLED")
    made = record()
    _, progress = earlier.resume(told, Counter, made, runs(told)[:1], pytest.fail)
    assert progress is None
    made.finish("KILLED")


class Picky(Counter):
    """Takes over half of a state before it finds that it cannot use it."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if float(self.count) == 4:
            raise KeyError("momentum")


def test_a_whole_checkpoint_that_cannot_be_used_is_passed_over_and_told_of(
    told: Orders, record: Record, left: str
) -> None:
    made, notes = record(), list[str]()
    task, progress = earlier.resume(told, Picky, made, [run for run in runs(told) if run.id == left], notes.append)
    made.finish("KILLED")
    assert isinstance(task, Picky) and progress is not None
    assert progress.index == 2 == float(task.count)
    assert notes == [f"a checkpoint of run {left} cannot be used (KeyError: 'momentum'); the one before serves"]


def test_what_a_checkpoint_says_of_itself_is_plain_text(left: str, told: Orders) -> None:
    (run,) = runs(told)
    first, second = run.tags["retable.checkpoint"].splitlines()
    assert first.endswith("at step 4") and second.endswith("at step 2") and json.dumps(first).isascii()
