"""Bad tasks, each caught by the conformance check with a message of its own; and a good one, which passes."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retable.bench.task import Metric, TaskSpec, find_task
from retable.bench.testing import ConformanceError, check_task
from retable.bench.testing.states import difference

FAMILY = '''"""Tasks with a mistake each, by the name of the mistake."""

from retable.bench.task import Metric, Settings, TaskSpec


class Chosen(Settings):
    mistake: str = ""
    steps: int = 6


METRICS = {"loss/total": Metric("half the squared distance"), "quality/end": Metric("the same at the end")}
TASKS = [TaskSpec("planted", Chosen, "planted.task:Planted", METRICS, "quality/end", lambda s: [])]
'''

TASK = '''"""Descent with momentum; `mistake` says what is wrong with it."""

import numpy as np
import torch

from retable.bench.task import Evaluation

RUNS = [0]


class Planted:
    def __init__(self, settings, context):
        self.mistake, self.steps = settings.mistake, settings.steps
        self.x = context.start["x"].clone() if context.start else torch.randn(3)
        self.velocity = torch.zeros(3)
        self.best = np.float64(1) if self.mistake == "numpy state" else 1.0
        RUNS[0] += 1
        if self.mistake == "no steps":
            self.steps = -1
        if self.mistake == "no repeat":
            self.x += RUNS[0]
        if self.mistake == "no seed":
            self.x = torch.ones(3)
        self.facts = {"precision": object() if self.mistake == "fact" else ["fp32"]}

    def step(self, index):
        noise = torch.zeros(3) if self.mistake == "no seed" else 0.01 * torch.randn(3)
        self.velocity = 0.9 * self.velocity + self.x + noise
        self.x = self.x - 0.1 * self.velocity
        loss = self.x.square().sum() / 2
        found = {"loss/total": loss.item() if self.mistake == "number" else loss}
        if self.mistake == "graph":
            found["loss/total"] = loss.clone().requires_grad_()
        if self.mistake == "undeclared":
            found["loss/other"] = loss
        if self.mistake == "at":
            found["loss/top@5"] = loss
        if index == 2:  # a step may measure more than others do
            found["quality/end"] = loss
        return {} if self.mistake == "nothing" else found

    def evaluate(self):
        if self.mistake == "evaluation moves":
            self.x = 0.5 * self.x
        end = float(self.x.square().sum() / 2)
        kind = np.float32 if self.mistake == "float image" else np.uint8
        shape = (4, 4, 2) if self.mistake == "two channels" else (4, 4, 3)
        stem = "../../end" if self.mistake == "stem" else "end"
        array = np.full(3, np.inf if self.mistake == "infinite" else np.nan)
        array = np.array([self]) if self.mistake == "object array" else array
        model = {"x": self.x, "made": np.float64(1)} if self.mistake == "numpy model" else {"x": self.x}
        metrics = {} if self.mistake == "no objective" else {"quality/end": end}
        if self.mistake == "evaluation undeclared":
            metrics["quality/extra"] = end
        if self.mistake == "evaluation random":
            metrics["quality/end"] = float(np.random.default_rng().random())
        if self.mistake == "no evaluation":
            return metrics
        said = True if self.mistake == "collapsed" else ""
        return Evaluation(metrics, {stem: np.zeros(shape, kind)}, {"course": {"x": array}}, model, said)

    def state_dict(self):
        state = {"x": self.x, "velocity": self.velocity, "best": self.best}
        if self.mistake == "not saved":
            del state["velocity"]
        return state

    def load_state_dict(self, state):
        self.x = state["x"].clone()
        self.velocity = state["velocity"].clone() if "velocity" in state else self.velocity
'''

CAUGHT = {
    "undeclared": r"step\(0\) returns the metric 'loss/other', which its TaskSpec does not declare; add it to metrics",
    "at": r"the metric name 'loss/top@5' is none for MLflow and reports; write group/name",
    "nothing": r"step\(0\) measures nothing; return what it minimises, or have steps = 0",
    "number": r"step\(0\) returns 'loss/total' as a builtins.float; it must be a tensor of one number",
    "graph": r"step\(0\) returns 'loss/total' with its graph, which fills the memory; detach it",
    "not saved": r"broken off after 3 steps it goes on as another: step\(3\)\['loss/total'\] is .*; all that changes",
    "numpy state": r"state\['best'\] is a numpy.float64, which no checkpoint can hold; use tensors, numbers",
    "numpy model": r"model\['made'\] is a numpy.float64, which no other trial can read; use tensors, numbers",
    "evaluation moves": r"evaluate\(\) changes the state: state\['x'\] has other values, before and after",
    "evaluation undeclared": r"evaluate\(\) returns the metric 'quality/extra', which its TaskSpec does not declare",
    "evaluation random": r"evaluated after a break it differs: evaluation\['metrics'\]\['quality/end'\] is ",
    "no evaluation": r"evaluate\(\) returns a builtins.dict; it must be an Evaluation",
    "collapsed": r"evaluate\(\) returns collapsed as a builtins.bool; it is a text, empty if it is not",
    "no objective": r"never measures its objective 'quality/end'",
    "float image": r"images\['end'\] is a numpy.ndarray of float32 \[4, 4, 3\]; an image is a uint8 array",
    "two channels": r"images\['end'\] has the shape \[4, 4, 2\]; an image is \[H, W, 3\], or grey \[H, W\]",
    "stem": r"images\['../../end'\] has a name that no file gets",
    "infinite": r"arrays\['course'\]\['x'\] holds an infinite number, which no figure can draw; write NaN",
    "object array": r"arrays\['course'\]\['x'\] is a numpy.ndarray of object \[1\]; it must be an array of numbers",
    "fact": r"facts\['precision'\] is <object object at .*>; a fact is a word and a text, or what JSON knows",
    "no steps": r"steps is -1; it must be a whole number, 0 for a task that is only evaluated",
    "no repeat": r"two runs of seed 0 differ: step\(0\)\['loss/total'\] is ",
    "no seed": r"seeds 0 and 1 make no difference; draw from the seed, or say seeded=False in its TaskSpec",
}
"""Mistake -> what is said of it."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSpec]:
    """The family above, where it can be imported."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "planted").mkdir()
    (folder / "planted" / "__init__.py").write_text(FAMILY)
    (folder / "planted" / "task.py").write_text(TASK)
    sys.path.insert(0, str(folder))
    yield find_task("planted", ["planted"])
    sys.path.remove(str(folder))
    for name in ("planted", "planted.task"):
        sys.modules.pop(name, None)


def refused(task: TaskSpec, message: str, **settings: object) -> None:
    with pytest.raises(ConformanceError, match=rf"^task '{task.name}': {message}"):
        check_task(task, settings, packages=["planted"])


def test_a_sound_task_passes_and_leaves_the_random_generators_as_they_were(planted: TaskSpec) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    check_task("planted", packages=["planted"])
    check_task(planted, {"steps": 0}, packages=["planted"])
    check_task(planted, packages=["planted"], start={"x": torch.ones(3)})
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[union-attr]


@pytest.mark.parametrize("mistake", CAUGHT)
def test_a_mistake_is_caught_and_named(planted: TaskSpec, mistake: str) -> None:
    refused(planted, CAUGHT[mistake], mistake=mistake)


def test_what_a_task_says_of_itself_is_tried(planted: TaskSpec) -> None:
    engine = {**planted.metrics, "time/train": Metric("mine")}
    refused(replace(planted, metrics=engine), "declares 'time/train', which the engine measures; give it another name")
    refused(replace(planted, objective="loss/best"), "its objective 'loss/best' is not among its metrics")
    refused(replace(planted, data=lambda s: ["phottos"]), "reads unknown data 'phottos'; did you mean 'photos'")
    refused(replace(planted, data=lambda s: ["folder:/nowhere"]), "reads data that is not here: ")
    refused(replace(planted, seeded=False), "says seeded=False, and seeds 0 and 1 differ: ")
    refused(planted, "setting step: Extra inputs are not permitted; give settings that it takes", step=1)


def test_torch_at_the_top_of_a_family_is_caught_with_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavyset").mkdir()
    (tmp_path / "heavyset" / "__init__.py").write_text(f"from heavyset import helper\n{FAMILY}")
    (tmp_path / "heavyset" / "helper.py").write_text("\n\nimport torch\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    family, helper = (tmp_path / "heavyset" / name for name in ("__init__.py", "helper.py"))
    said = f"its family imports torch by way of {family}:1 and {helper}:3; planning must stay light"
    with pytest.raises(ConformanceError, match=r"^task 'planted': ") as error:
        check_task("planted", packages=["heavyset"])
    assert said in str(error.value)


def test_states_differ_by_their_bits() -> None:
    nan = torch.tensor([float("nan"), 1.0])
    state = {"a": [nan, 1, "x"], "b": {"c": float("nan"), "d": None}}
    again = {"a": [nan.clone(), 1, "x"], "b": {"c": float("nan"), "d": None}}
    assert difference(state, again, "s") == ""
    assert (
        difference(torch.tensor(1.0), torch.tensor(1.0, dtype=torch.float64), "s") == "s is float32 [] and float64 []"
    )
    assert difference({"a": torch.tensor(1.0)}, {"a": torch.tensor(1.0000001)}, "s") == "s['a'] has other values"
    assert difference([1, 2], [1], "s") == "s has 2 and 1 entries"
    assert difference({"a": 1}, {"b": 1}, "s") == "s has the keys ['a'] and ['b']"
    assert difference(1, 1.0, "s") == "s is 1 and 1.0"
    assert difference(torch.zeros(2, 0), torch.zeros(2, 0), "s") == ""
