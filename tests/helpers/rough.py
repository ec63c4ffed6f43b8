"""A paper whose tasks misbehave, each in its own way: what `how` says happens at step `at`. Written into a project."""

from __future__ import annotations

from pathlib import Path

INIT = """
from retable.bench.task import Metric, Settings, TaskSpec

class Rough(Settings):
    how: str = "well"
    at: int = 3
    steps: int = 12
    pause: float = 0.0

LOSS = {"loss/total": Metric("a loss")}
TASKS = [TaskSpec("rough", Rough, "roughpaper.tasks:Task", LOSS, "loss/total", lambda s: [])]
"""

TASKS = """
import os, sys, time
import numpy as np
import torch
from retable.bench.task import Evaluation

class Mute(Exception):
    def __str__(self): raise RuntimeError("no words")

class Task:
    def __init__(self, settings, context):
        self.s, self.steps = settings, settings.steps
        self.w = torch.ones(3)
        self.extra = {}

    def step(self, index):
        how = self.s.how if index == self.s.at else "well"
        time.sleep(self.s.pause)
        if how == "fork":
            if os.fork() == 0:
                time.sleep(600)
        if how == "hang": time.sleep(600)
        if how == "exit": sys.exit("out of patience")
        if how == "not utf-8": raise ValueError("bad \\udcff.jpg and a zero \\0")
        if how == "mute": raise Mute()
        if how == "nan weights": self.w[1] = float("nan")
        if how == "odd state": self.extra = {"x": np.float64(1.0)}
        if how == "undeclared": return {"loss/total": torch.tensor(1.0), "quality/@": torch.tensor(1.0)}
        self.w = self.w * 0.9
        return {"loss/total": self.w.abs().nan_to_num(0.5).sum()}

    def evaluate(self):
        model = {"w": self.w, **({"x": np.float64(1.0)} if self.s.how == "odd model" else {})}
        if self.s.how == "nan model": model["w"] = model["w"] * float("nan")
        more = {"quality/more": 1.0} if self.s.how == "undeclared at the end" else {}
        return Evaluation({"loss/total": float(self.w.nan_to_num(0.5).sum()), **more}, model=model)

    def state_dict(self): return {"w": self.w, **self.extra}
    def load_state_dict(self, state): self.w = state["w"].clone()
"""

SUITE = """
suite: rough
about: Tasks that misbehave.
paper: {title: On misbehaviour, authors: [A], year: 2020}
packages: roughpaper
scales: {quick: {about: seconds}}
experiments:
  e: {task: rough, about: one trial, settings: {how: {value: well, source: "assumed: w"}}}
"""


def write(project: Path) -> None:
    """The package `roughpaper` and its suite `rough`, into a project."""
    (project / "roughpaper").mkdir()
    (project / "roughpaper" / "__init__.py").write_text(INIT)
    (project / "roughpaper" / "tasks.py").write_text(TASKS)
    (project / "suites" / "rough.yaml").write_text(SUITE)
