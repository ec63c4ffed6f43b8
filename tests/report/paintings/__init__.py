"""A made-up paper for tests of the report: its tasks are declared, never run."""

from retable.bench.task import Metric, Settings, TaskSpec


class Paint(Settings):
    optimizer: str
    lr: float
    batch_size: int
    size: int = 64
    weights: str = "file"


class Unchanged(Settings):
    optimizer: str = "unchanged"


class Unroll(Settings):
    depth: int
    width: int = 64
    nonlinearity: str = "h"
    pair: int = 0


PAINT = {
    "loss/total": Metric("content and style"),
    "score/accuracy": Metric("of a classifier", better="higher", unit="%"),
    "scale/norm": Metric("of the output", better=None),
    **{f"pair/{i}": Metric(f"content and style, of pair {i} alone") for i in range(4)},
}

TASKS = [
    TaskSpec("paint", Paint, "paintings.tasks:make", PAINT, "loss/total", lambda s: []),
    TaskSpec("unchanged", Unchanged, "paintings.tasks:make", PAINT, "loss/total", lambda s: [], seeded=False),
    TaskSpec("unroll", Unroll, "paintings.tasks:make", {"loss/tv": Metric("total")}, "loss/tv", lambda s: []),
]
