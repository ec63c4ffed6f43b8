"""A made-up paper for tests: gradient descent on a quadratic. Its tasks are real, small and fast."""

from retable.bench.task import Metric, Settings, TaskSpec


class Descent(Settings):
    """Gradient descent from a random point on a quadratic bowl."""

    lr: float = 0.1
    method: str = "plain"
    steps: int = 20
    pause: float = 0.0
    fail_at: int = -1
    kill_at: int = -1
    collapsed: str = ""


class Idle(Settings):
    """Nothing but overhead: 20 settings, 60 steps, one metric."""

    a: int = 0
    b: int = 0
    s1: int = 1
    s2: int = 2
    s3: int = 3
    s4: int = 4
    s5: int = 5
    s6: int = 6
    s7: int = 7
    s8: int = 8
    s9: int = 9
    s10: int = 10
    s11: int = 11
    s12: int = 12
    s13: int = 13
    s14: int = 14
    s15: int = 15
    s16: int = 16
    s17: float = 1.7
    s18: str = "eighteen"


class Shared(Settings):
    """Several processes: what each adds to a sum, and how one of them may fail."""

    steps: int = 20
    pause: float = 0.0
    fail_rank: int = -1


LOSS = {"loss/total": Metric("half the squared distance to the bottom"), "loss/final": Metric("the same at the end")}

TASKS = [
    TaskSpec("descent", Descent, "toypaper.tasks:make_descent", LOSS, "loss/final", lambda s: []),
    TaskSpec(
        "shared",
        Shared,
        "toypaper.tasks:SharedTask",
        {"loss/total": Metric("mean of what the processes drew"), "loss/final": Metric("sum of all steps")},
        "loss/final",
        lambda s: [],
        alone=lambda s, ranks: "three is a crowd" if ranks > 2 else "",
    ),
    TaskSpec(
        "idle",
        Idle,
        "toypaper.tasks:make_idle",
        {"loss/total": Metric("zero")},
        "loss/total",
        lambda s: [],
        seeded=False,
    ),
]
