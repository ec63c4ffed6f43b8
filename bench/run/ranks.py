"""One trial over several processes: the worker is rank 0, its peers are started with the trial and end with it.

torch.distributed joins them, with gloo on CPUs and NCCL on GPUs, over loopback. The peers make the same task and take
the same steps, each with its share of the batch; they have no store. What a trial logs, saves and evaluates is rank
0's, so a checkpoint goes on in any number of processes. `python -m retable.bench.run.ranks` is a peer: it
reads one JSON line, and ends at once when its standard input closes, as a worker does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retable.bench.run.orders import Orders
from retable.bench.store import patience
from retable.bench.store.places import redact
from retable.bench.suite.plan import Trial
from retable.bench.suite.project import enter
from retable.bench.task import Context, State, Task, TaskSpec, find_task, load

if TYPE_CHECKING:
    from retable.bench.run import training

PATIENCE = timedelta(hours=1)
"""For one exchange: as long as a validation, which one process does while the others wait, may take."""

GRACE = 20.0
"""Seconds that rank 0 is given to notice by itself that a peer has died; GPUs' exchanges do not notice."""


@dataclass(frozen=True)
class Part:
    """What a peer is told. place: the file over which the processes meet."""

    rank: int
    ranks: int
    place: str
    device: str
    threads: int
    project: str
    packages: list[str]
    task: str
    settings: dict[str, Any]
    trial: str
    seed: int


@contextmanager
def together(
    orders: Orders, trial: Trial, spec: TaskSpec, start: State | None, note: Callable[[str], None]
) -> Iterator[int]:
    """Start and join the peers of a trial, for as long as the block lasts; how many processes there are, this one too.

    One where `orders` wants no more or the task can't be spread, which `note` is told. In the block, call `follow`
    once, when the task stands where it goes on. Raises RuntimeError with a peer's own reason where one has failed; when
    one was killed this process ends too, and the trial goes back to the queue.
    """
    count = orders.ranks
    if count > 1:
        settings = spec.settings.model_validate(dict(trial.settings))
        reason = f"the task '{trial.task}' is not made for more" if spec.alone is None else spec.alone(settings, count)
        if reason:
            note(f"{trial.experiment}: trials run in one process each, not in {count}: {reason}")
            count = 1
    if count == 1:
        yield 1
        return
    with tempfile.TemporaryDirectory(prefix="retable-ranks-") as folder:
        parts = [_part(orders, trial, rank, count, f"{folder}/meet") for rank in range(1, count)]
        peers = [_start(part) for part in parts]
        done = threading.Event()
        threading.Thread(target=_watch, args=(peers, done), daemon=True).start()
        try:
            _join(_part(orders, trial, 0, count, f"{folder}/meet"))
            _give(_packed(start))
            yield count
        except Exception as error:
            _blame(peers, error)
            raise
        finally:
            done.set()
            for peer in peers:
                peer.kill()
                peer.wait()
            _leave(orders.device)


def follow(task: Task, progress: training.Standing | None) -> None:
    """Bring the peers' tasks and generators to where this one's are. progress: None at a trial's beginning."""
    from retable.bench.run import training

    _give(training.pack(task, progress or training.Standing()))


def _part(orders: Orders, trial: Trial, rank: int, ranks: int, place: str) -> Part:
    device = orders.device
    if device.startswith("cuda"):
        first = int(device.partition(":")[2] or 0)
        device = f"cuda:{first + rank}"
    return Part(
        rank=rank,
        ranks=ranks,
        place=place,
        device=device,
        threads=orders.threads,
        project=orders.project,
        packages=orders.packages,
        task=trial.task,
        settings=dict(trial.settings),
        trial=trial.id,
        seed=trial.seed,
    )


def _start(part: Part) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "retable.bench.run.ranks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(part)) + "\n")
    process.stdin.flush()
    return process


def _watch(peers: Sequence[subprocess.Popen[str]], done: threading.Event) -> None:
    """End this process when it waits for a peer that is no more."""
    while not done.wait(0.5):
        if any(peer.poll() is not None for peer in peers) and not done.wait(GRACE):
            _end(f"rank {_first_ended(peers)[0]} has ended, and this process waits for it")


def _blame(peers: Sequence[subprocess.Popen[str]], error: Exception) -> None:
    """If this process failed because a peer has: raise that one's reason, or end too if it was killed."""
    deadline = time.monotonic() + 3.0
    while _is_exchange(error) and time.monotonic() < deadline:
        if any(peer.poll() is not None for peer in peers):
            rank, peer = _first_ended(peers)
            assert peer.stdout is not None
            words = peer.stdout.read().strip()
            if words:
                raise RuntimeError(f"rank {rank}: {json.loads(words)['failed']}") from error
            code = peer.returncode
            _end(f"rank {rank} died ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})")
        time.sleep(0.1)


def _is_exchange(error: Exception) -> bool:
    """Whether an error is of processes that exchange numbers: torch raises plain RuntimeErrors for most of these."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _first_ended(peers: Sequence[subprocess.Popen[str]]) -> tuple[int, subprocess.Popen[str]]:
    return next((rank, peer) for rank, peer in enumerate(peers, 1) if peer.poll() is not None)


def _end(reason: str) -> None:
    """End this process as if it had been killed, which its trial survives."""
    patience.say(reason)
    os._exit(1)


def _join(part: Part) -> None:
    """Join the group of processes. They meet over a file: torch's own meeting place would listen on every address."""
    import torch
    import torch.distributed as dist

    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    cuda = part.device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(part.device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=torch._C._distributed_c10d.FileStore(part.place, part.ranks),
        rank=part.rank,
        world_size=part.ranks,
        timeout=PATIENCE,
    )


def _leave(device: str) -> None:
    """Leave the group. The peers are dead by now: on GPUs that is an abort, a parting would wait for them."""
    import torch.distributed as dist

    if not dist.is_initialized():
        return
    if device.startswith("cuda"):
        dist.distributed_c10d._abort_process_group()
    else:
        dist.destroy_process_group()


def _packed(state: State | None) -> bytes:
    from retable.bench.run import training

    return b"" if state is None else training.to_bytes(state)


def _give(data: bytes) -> None:
    """Send bytes to every peer."""
    import torch
    import torch.distributed as dist

    dist.broadcast(torch.tensor([len(data)]), 0)
    if data:
        dist.broadcast(torch.frombuffer(bytearray(data), dtype=torch.uint8), 0)


def _given() -> bytes:
    """The bytes that rank 0 sends."""
    import torch
    import torch.distributed as dist

    length = torch.zeros(1, dtype=torch.int64)
    dist.broadcast(length, 0)
    data = torch.empty(int(length), dtype=torch.uint8)
    if len(data):
        dist.broadcast(data, 0)
    return data.numpy().tobytes()


def main() -> None:
    """A peer."""
    words = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a task prints must not end up among the last words
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # rank 0 leaves a checkpoint, then ends its peers
    part = Part(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    try:
        _train(part)
    except Exception as error:
        words.write(json.dumps({"failed": f"{type(error).__name__}: {error}"}) + "\n")
        words.flush()
        _end(redact(traceback.format_exc()))
    threading.Event().wait()  # until rank 0, which may still be reading from us, is done


def _end_with_rank_0() -> None:
    sys.stdin.read()
    os._exit(137)


def _train(part: Part) -> None:
    import torch

    from retable.bench.run import training

    enter(Path(part.project))
    torch.set_num_threads(part.threads)
    _join(part)
    start = _given()
    spec = find_task(part.task, part.packages)
    training.seed_all(part.seed, part.trial)
    context = Context(
        device=part.device,
        seed=part.seed,
        start=training.from_bytes(start) if start else None,
        rank=part.rank,
        ranks=part.ranks,
    )
    task: Task = load(spec.make)(spec.settings.model_validate(part.settings), context)
    progress = training.unpack(_given(), task)
    for index in range(progress.index, task.steps):
        task.step(index)


if __name__ == "__main__":
    main()
