"""Made-up results for the tests of the report: the suite is real, the numbers are drawn, the runs never happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from retable.bench.results.frames import Results
from retable.bench.suite import loader, plan
from retable.bench.suite.schema import Suite

HERE = Path(__file__).parent
LEVEL = {
    "adagrad": 31,
    "adadelta": 57,
    "rprop": 36,
    "rmsprop": 30,
    "adam": 26,
    "adamax": 28,
    "amsgrad": 26.2,
    "nadam": 25,
}
BEST = {"adagrad": 0.01, "adadelta": 0.1, "rprop": 1e-4}
FLAT = "every output is a constant picture"
BASE = pd.Timestamp("2026-01-03 10:00", tz="UTC")


@cache
def sample_suite() -> Suite:
    return loader.load(HERE / "paintings.yaml").suite


def suite_with(**parts: Any) -> Suite:
    """The sample suite with `tables`, `figures` or `claims` replaced (plain data, as in YAML)."""
    data = {**sample_suite().model_dump(by_alias=True, exclude_unset=True), **parts}
    return Suite.model_validate(data)


def rows(suite: Suite, scale: str = "quick") -> list[dict[str, Any]]:
    """A row per declared trial, finished and without metrics."""
    found = []
    for trial in plan.trials(suite, scale):
        minute = pd.Timedelta(seconds=7 * len(found))
        found.append(
            {
                "trial": trial.id,
                "experiment": trial.experiment,
                "task": trial.task,
                "seed": trial.seed,
                "state": "finished",
                "stale": False,
                "reason": "",
                "run_id": f"run-{trial.id}",
                "started": BASE + minute,
                "ended": BASE + minute + pd.Timedelta(seconds=6.5),
                "seconds": 6.5,
                **trial.settings,
                **trial.varied,
            }
        )
    return found


def measure(row: Mapping[str, Any], noise: np.random.Generator) -> dict[str, float]:
    """Losses that look like those of the paper."""
    if row["task"] == "unroll":
        return {
            "loss/tv": 0.5 / row["depth"] ** 0.3
            + (0.1 if row["nonlinearity"] == "relu" else 0)
            + noise.normal(0, 0.004)
        }
    away = abs(math.log10(row["lr"] / BEST.get(row["optimizer"], 1e-3)))
    level = LEVEL[row["optimizer"]] * (1 + 0.35 * away**1.3) * (1 + 0.03 * math.log2(row["batch_size"]))
    level = LEVEL[row["optimizer"]] if row["experiment"] == "defaults" else level
    return {
        "loss/total": 1e6 * level * (1 + noise.normal(0, 0.008)),
        "score/accuracy": 80 - level / 2 + noise.normal(0, 0.3),
        "time/train": 6 + (3 if row["optimizer"] == "rprop" else 0) + noise.normal(0, 0.1),
    }


def paint(folder: Path) -> Callable[[str, str], Path]:
    """Artifacts: small pictures, the same for the same run and path."""

    def artifact(run_id: str, path: str) -> Path:
        target = folder / run_id / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            seed = sum(map(ord, run_id + path))
            y, x = np.mgrid[0:48, 0:64] / 64
            waves = [np.sin(9 * (x * math.cos(seed + k) + y * math.sin(seed + k)) + k) for k in range(3)]
            Image.fromarray((127 + 120 * np.stack(waves, -1)).astype(np.uint8)).save(target)
        return target

    return artifact


def curve(row: Mapping[str, Any], metric: str, steps: int) -> pd.DataFrame:
    noise = np.random.default_rng(sum(map(ord, row["run_id"])))
    at = np.arange(steps)
    start, end = 2.5 * row[metric] if math.isfinite(row[metric]) else 1e9, row[metric]
    end = end if math.isfinite(end) else 3e9
    values = (end + (start - end) * np.exp(-at / (steps / 6))) * (1 + noise.normal(0, 0.05, steps))
    return pd.DataFrame({"run_id": row["run_id"], "step": at, "value": values})


def results(
    folder: Path,
    suite: Suite | None = None,
    scale: str = "quick",
    change: Callable[[dict[str, Any]], Mapping[str, Any] | None] = lambda row: None,
    measured: Callable[[Mapping[str, Any], np.random.Generator], Mapping[str, float]] = measure,
    seed: int = 0,
    steps: int = 120,
) -> Results:
    """Results of the sample suite. `change` returns what is different in a row (state, reason, metrics, ...)."""
    suite = suite or sample_suite()
    noise = np.random.default_rng(seed)
    found = []
    for row in rows(suite, scale):
        row |= measured(row, noise)
        row |= change(row) or {}
        if row["state"] not in ("finished", "collapsed"):
            row |= {name: math.nan for name in row if "/" in name}
        if row["state"] == "missing":
            row |= {"run_id": "", "started": pd.NaT, "ended": pd.NaT, "seconds": math.nan}
        found.append(row)
    facts = {
        row["run_id"]: {
            "commit": "6c1f2d0e8a",
            "dirty": "false",
            "device": "cpu",
            "cpu": "Imagined CPU @ 3 GHz",
            "threads": "1",
            "host": "desk",
            "torch": "2.13.0",
            "python": "3.12.1",
            "trial": row["trial"],
            "owner": f"desk:{i}",
        }
        for i, row in enumerate(found)
        if row["run_id"]
    }
    by_run = {row["run_id"]: row for row in found if row["run_id"]}

    def curves(run_ids: Sequence[str], metric: str) -> pd.DataFrame:
        empty = pd.DataFrame({"run_id": [], "step": [], "value": []})
        have = [r for r in run_ids if metric in by_run[r]]
        return pd.concat([curve(by_run[r], metric, steps) for r in have]) if have else empty

    return Results(suite, scale, pd.DataFrame(found), facts, curves, paint(folder))


def hit(row: Mapping[str, Any], **settings: Any) -> bool:
    """Whether a row has these settings."""
    return all(row.get(name) == value for name, value in settings.items())


def troubled(row: dict[str, Any]) -> Mapping[str, Any] | None:
    """One of everything that goes wrong."""
    if hit(row, experiment="grid", optimizer="adam", lr=0.1, batch_size=1):
        return {"state": "diverged", "reason": "loss/total is inf at step 41"}
    if hit(row, experiment="grid", optimizer="rmsprop", lr=0.1):
        return {"state": "diverged", "reason": "loss/total is nan at step 12"}
    if hit(row, experiment="grid", optimizer="nadam", lr=0.01, batch_size=8):
        return {"state": "failed", "reason": "RuntimeError: out of memory | 12 GiB (network.py:88)"}
    if hit(row, experiment="grid", optimizer="adamax", lr=0.001, batch_size=4):
        return {"state": "missing"}
    if hit(row, experiment="defaults", optimizer="adadelta", seed=1):
        return {"state": "diverged", "reason": "loss/total is inf at step 7"}
    if hit(row, experiment="grid", optimizer="adagrad", lr=0.1, batch_size=1):
        return {"state": "collapsed", "reason": FLAT}
    if hit(row, experiment="defaults", optimizer="adamax", seed=2):
        return {"state": "collapsed", "reason": FLAT, "loss/total": 2.4184e8}
    if hit(row, experiment="depth", depth=4, nonlinearity="relu"):
        return {"stale": True}
    return None
